/** Data from pod to pod by the programs of test/netns/peer, verified at the receiver. */

import { exec } from '../../../lab/exec.js';
import type { Pod } from '../../../lab/node.js';
import { LabProcess } from '../../../lab/process.js';
import { DIST } from '../../../lab/world.js';

const PEER = `${DIST}test/netns/peer/`;
const TIMEOUT_MS = 120_000;
/** Bytes of a superpacket, and its datagrams: fewer than UDP_MAX_SEGMENTS of every kernel. */
const SUPERPACKET_BYTES = 65507;
const SEGMENTS = 40;

/** The last output lines of sender and receiver. */
export interface Transfer {
  readonly sent: string;
  readonly received: string;
}

/** Runs a receiver, then a sender against it. */
async function through(
  script: string,
  [from, to]: readonly [Pod, Pod],
  port: number,
  receiverArgs: readonly number[],
  senderArgs: readonly number[],
): Promise<Transfer> {
  const argv = (mode: string, args: readonly number[]) => [
    ...[process.execPath, `${PEER}${script}`, mode, to.address],
    ...[port, ...args].map(String),
  ];
  const receiver = new LabProcess(argv('receive', receiverArgs), {
    netns: to.netns,
    name: `${script} in ${to.name}`,
  });
  try {
    await receiver.waitFor(/listening/);
    const { stdout } = await exec(argv('send', senderArgs), { netns: from.netns, timeoutMs: TIMEOUT_MS });
    await receiver.exited;
    return { sent: stdout.trim(), received: receiver.output.trim().split('\n').at(-1) ?? '' };
  } finally {
    await receiver.stop('SIGKILL');
  }
}

/** Sends bytes over TCP connections at once; returns hash and number of bytes of each at either end. */
export function stream(from: Pod, to: Pod, bytes: number, connections = 1): Promise<Transfer> {
  return through('stream.js', [from, to], 7001, [connections], [bytes, connections]);
}

/** Sends numbered datagrams one by one; returns how many arrived: `whole 100 damaged 0`. */
export async function datagrams(from: Pod, to: Pod, count: number, size: number): Promise<string> {
  return (await through('datagrams.js', [from, to], 7002, [count, size], [count, size, 1])).received;
}

/** Sends numbered datagrams as UDP_SEGMENT superpackets; returns how many arrived: `whole 100 damaged 0`. */
export async function segmentedDatagrams(from: Pod, to: Pod, count: number, size: number): Promise<string> {
  const segments = Math.min(SEGMENTS, Math.floor(SUPERPACKET_BYTES / size));
  const args = [count, size];
  return (await through('datagrams.js', [from, to], 7002, args, [...args, segments])).received;
}
