/** What one start of Weft in a guest is asked for: unharmed transfers, throughput both ways, round-trip time. */

import { exec } from '../../lab/exec.js';
import { LabProcess } from '../../lab/process.js';
import { ping } from '../../lab/traffic/ping.js';
import { DIST } from '../../lab/world.js';
import type { Bed } from './bed.js';

export const LEVELS = ['bpf', 'gso'] as const;
export type Level = (typeof LEVELS)[number];

/** One start of Weft. Rates are Mbit/s that arrived, seen from the guest. */
export interface Sample {
  readonly level: Level;
  readonly out: number;
  readonly in: number;
  /** The fastest of many pings, in milliseconds. */
  readonly ping: number;
}

/** What a transfer showed. */
export interface Proof {
  readonly level: Level;
  /** The line `offload` of `weft status`. */
  readonly offload: string;
  readonly fastTxPackets: number;
  readonly fastRxPackets: number;
  readonly checksumErrors: number;
}

const STREAM = `${DIST}test/netns/peer/stream.js`;
const PORT = 7001;
const IPERF_PORT = 5201;
const PINGS = 50;

/** Measures with Weft started for it. */
export function measure(bed: Bed, level: Level, seconds: number): Promise<Sample> {
  return bed.node.runFor(level, async () => {
    const { min } = await reach(bed);
    const inward = await rate(bed, seconds, false);
    const outward = await rate(bed, seconds, true);
    return { level, out: outward, in: inward, ping: min };
  });
}

/** Sends bytes both ways with Weft started for it; throws if hashes, counters or status are not as they should be. */
export function prove(bed: Bed, level: Level, bytes: number): Promise<Proof> {
  return bed.node.runFor(level, async () => {
    await reach(bed);
    await sendOut(bed, bytes);
    await sendIn(bed, bytes);
    const proof = await proofOf(bed, level);
    const { fastTxPackets, fastRxPackets, checksumErrors, offload } = proof;
    if (level === 'bpf' && !offload.includes(`attached by ${attachmentOn(bed.node.guest.image.release)}`))
      throw new Error(`the programs are not attached as expected: ${offload}`);
    const isUsed = fastTxPackets > 0 && fastRxPackets > 0;
    if (isUsed !== (level === 'bpf'))
      throw new Error(`fast path packets: ${fastTxPackets} out, ${fastRxPackets} in: ${offload}`);
    if (checksumErrors > 0) throw new Error(`${checksumErrors} packets had a wrong checksum`);
    return proof;
  });
}

/** Returns how programs are attached on a kernel: TCX exists since Linux 6.6. */
function attachmentOn(release: string): 'tcx' | 'clsact' {
  const [major = 0, minor = 0] = release.split('.').map(Number);
  return major > 6 || (major === 6 && minor >= 6) ? 'tcx' : 'clsact';
}

async function proofOf(bed: Bed, level: Level): Promise<Proof> {
  const { offload, counters } = await bed.node.status();
  const line = await bed.node.offloadLine();
  if (offload.rung !== level) throw new Error(`--offload ${level}: the level is ${offload.rung}: ${line}`);
  return {
    level,
    offload: line,
    fastTxPackets: Number(counters.fast_tx_packets),
    fastRxPackets: Number(counters.fast_rx_packets),
    checksumErrors: await bed.checksumErrors(),
  };
}

/** Kills Weft with SIGKILL and starts it again; throws if a ping between the pods is lost meanwhile. */
export async function outlive({ node, peerPod }: Bed): Promise<void> {
  const pings = async (when: string) => {
    const { sent, received } = await ping(peerPod.netns, node.podAddress, { count: 2 * PINGS, wait: 10 });
    if (received < sent) throw new Error(`${when}, ${sent - received} of ${sent} pings are lost`);
  };
  await node.startAndKill('bpf');
  await pings('after SIGKILL');
  await Promise.all([pings('during the next start'), node.runFor('bpf', async () => {})]);
}

async function reach({ node, peerPod }: Bed): Promise<{ min: number }> {
  const result = await ping(peerPod.netns, node.podAddress, { count: PINGS, wait: 10 });
  if (result.received > 0) return result;
  throw new Error('the pod in the guest answers no ping');
}

async function sendOut({ node, peerPod }: Bed, bytes: number): Promise<void> {
  const receiver = new LabProcess([process.execPath, STREAM, 'receive', peerPod.address, `${PORT}`], {
    netns: peerPod.netns,
  });
  try {
    await receiver.waitFor(/listening/);
    const sent = await node.send(peerPod.address, PORT, bytes);
    await receiver.exited;
    compare('out', sent, receiver.output);
  } finally {
    await receiver.stop('SIGKILL');
  }
}

async function sendIn({ node, peerPod }: Bed, bytes: number): Promise<void> {
  const received = await node.receive(PORT);
  const argv = [process.execPath, STREAM, 'send', node.podAddress, `${PORT}`, `${bytes}`];
  const { stdout } = await exec(argv, { netns: peerPod.netns, timeoutMs: 120_000 });
  compare('in', stdout, await received());
}

function compare(way: string, sent: string, received: string): void {
  const [there, here] = [sent, received].map((text) => text.trim().split('\n').at(-1));
  if (there !== here) throw new Error(`transfer ${way}: sent ${there}, received ${here}`);
}

interface Sum {
  readonly bytes?: number;
  readonly seconds?: number;
}

/** Returns Mbit/s that arrived, by the clock of this machine: an emulated one is less exact. */
async function rate({ node, peerPod }: Bed, seconds: number, outward: boolean): Promise<number> {
  await node.serveIperf(IPERF_PORT);
  const target = ['-c', node.podAddress, '-p', `${IPERF_PORT}`];
  const argv = ['iperf3', '-J', ...target, '-t', `${seconds}`, ...(outward ? ['-R'] : [])];
  const { stdout } = await exec(argv, { netns: peerPod.netns, timeoutMs: (seconds + 60) * 1000 });
  const report = JSON.parse(stdout) as { error?: string; end?: Readonly<Record<string, Sum>> };
  const { sum_sent: sent, sum_received: received } = report.end ?? {};
  const time = (outward ? received : sent)?.seconds;
  if (received?.bytes === undefined || time === undefined)
    throw new Error(`iperf3: ${report.error ?? 'no result'}`);
  return (received.bytes * 8) / time / 1e6;
}
