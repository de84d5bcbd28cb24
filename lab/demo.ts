/**
 * `npm run demo`: three nodes, two pods each, one lease file; pings, iperf3, and the kernel's vxlan beside it.
 *
 *     pod1, pod2 ── node1 ─┐
 *     pod1, pod2 ── node2 ─┤ 192.168.77.0/24: veth without offloads, which is what a Raspberry Pi's NIC is
 *     pod1, pod2 ── node3 ─┘
 */

import { kernelHasVxlan, startKernel } from './dataplanes/kernel.js';
import { ready, spawnWeft, type WeftDataplane } from './dataplanes/weft.js';
import { Lab } from './lab.js';
import { writeLeases } from './leases.js';
import type { Pod } from './node.js';
import { StepError, step } from './steps.js';
import { type Column, textTable } from './table.js';
import { iperf } from './traffic/iperf.js';
import { type PingResult, ping } from './traffic/ping.js';

const PINGS = 10;
const IPERF_SECONDS = 3;

/** What one dataplane did in the test bed. */
interface Seen {
  readonly pings: readonly PingResult[];
  readonly gbits: readonly number[];
}

type Pair = readonly [from: Pod, to: Pod];

/** Every pair of pods once: an answered ping has crossed both ways. */
function podPairs(lab: Lab): Pair[] {
  const pods = lab.nodes.flatMap((node) => node.pods);
  return pods.flatMap((from, index) => pods.slice(index + 1).map((to): Pair => [from, to]));
}

/** One stream each way round the ring of nodes. */
function ring(lab: Lab): Pair[] {
  return lab.nodes.map(
    (node, index): Pair => [lab.pod(node.index), lab.pod(((index + 1) % lab.nodes.length) + 1)],
  );
}

async function tryOut(lab: Lab, name: string): Promise<Seen> {
  const pings: PingResult[] = [];
  await step('ping', `${name}: every pair of pods, ${PINGS} times`, async () => {
    for (const [from, to] of podPairs(lab)) {
      // The first one pays for ARP between pod and bridge; it counts as a ping, not as a time.
      const first = await ping(from.netns, to.address, { count: 1 });
      const rest = await ping(from.netns, to.address, { count: PINGS - 1 });
      pings.push({ ...rest, sent: first.sent + rest.sent, received: first.received + rest.received });
    }
  });
  const gbits: number[] = [];
  await step('iperf3', `${name}: TCP, one stream, ${IPERF_SECONDS} s per path`, async () => {
    for (const [from, to] of ring(lab)) gbits.push((await iperf(from, to, { seconds: IPERF_SECONDS })).gbits);
  });
  return { pings, gbits };
}

async function startAll(lab: Lab): Promise<WeftDataplane[]> {
  const leaseFile = `${lab.dir}/leases.json`;
  await writeLeases(leaseFile, lab.leases());
  const started = await Promise.all(lab.nodes.map((node) => spawnWeft(node, { leaseFile })));
  running = started;
  await Promise.all(started.map((weft) => ready(weft)));
  return started;
}

async function stopAll(wefts: readonly WeftDataplane[]): Promise<void> {
  for (const weft of wefts) {
    const exit = await weft.end();
    if (exit.code !== 0)
      throw new Error(`${weft.process.name} ended with ${exit.code ?? exit.signal}, not with 0`);
  }
}

function report(lab: Lab, weft: Seen, kernel: Seen | undefined): void {
  const beside = (cells: readonly Column[]) => (kernel === undefined ? [] : cells);
  const rtt = (result: PingResult | undefined) => {
    if (result === undefined || result.received < result.sent) {
      return `${result?.received ?? 0} of ${result?.sent ?? 0} answered`;
    }
    return `${result.min.toFixed(3)} / ${result.avg.toFixed(3)}`;
  };
  const name = ([from, to]: Pair) => `${from.name} -> ${to.name}`;
  const show = (lines: readonly string[]) => console.log(`\n${lines.map((line) => `  ${line}`).join('\n')}`);
  show(
    textTable(
      [
        { title: 'Round trip, ms (min / avg)' },
        { title: 'Weft', right: true },
        ...beside([{ title: 'kernel vxlan', right: true }]),
        { title: '' },
      ],
      podPairs(lab).map((pair, index) => [
        name(pair),
        rtt(weft.pings[index]),
        ...(kernel === undefined ? [] : [rtt(kernel.pings[index])]),
        pair[0].netns.slice(0, -1) === pair[1].netns.slice(0, -1) ? 'same node' : '',
      ]),
    ),
  );
  show(
    textTable(
      [
        { title: 'TCP, one stream, Gbit/s   ' },
        { title: 'Weft', right: true },
        ...beside([
          { title: 'kernel vxlan', right: true },
          { title: 'Weft / kernel', right: true },
        ]),
      ],
      ring(lab).map((pair, index) => {
        const ours = weft.gbits[index];
        const theirs = kernel?.gbits[index];
        const more = theirs === undefined ? [] : [theirs.toFixed(2), (ours / theirs).toFixed(2)];
        return [name(pair), ours.toFixed(2), ...more];
      }),
    ),
  );
}

let running: readonly WeftDataplane[] = [];

// A reader that went away (`npm run demo | head`): the end of this process is the end of its world.
process.stdout.on('error', () => process.exit(1));

async function demo(): Promise<boolean> {
  console.log('Weft: three nodes, two pods each, one lease file\n');
  const lab = await step('build', '3 nodes and 6 pods as network namespaces, veth without offloads', () =>
    Lab.create({ nodes: 3, podsPerNode: 2, mode: 'plain' }),
  );
  try {
    const wefts = await step('weft', 'weft run on every node', () => startAll(lab));
    const weft = await tryOut(lab, 'Weft');
    const status = await step(
      'status',
      'weft status on node1',
      async () => (await wefts[0]?.statusText()) ?? '',
    );
    await step('stop', 'SIGTERM to every weft', () => stopAll(wefts));

    let kernel: Seen | undefined;
    if (await kernelHasVxlan()) {
      for (const node of lab.nodes) await startKernel(node);
      kernel = await tryOut(lab, 'kernel vxlan');
    } else console.log('  kernel   this kernel has no vxlan: that is the node Weft is made for');

    report(lab, weft, kernel);
    console.log(`\n  weft status on node1\n\n${status.trimEnd().replaceAll(/^(?=.)/gm, '    ')}`);
    const sent = weft.pings.reduce((sum, result) => sum + result.sent, 0);
    const received = weft.pings.reduce((sum, result) => sum + result.received, 0);
    console.log(`\n  ${received} of ${sent} pings over Weft were answered.`);
    return received === sent;
  } finally {
    await lab.dispose();
  }
}

try {
  process.exitCode = (await demo()) ? 0 : 1;
} catch (error) {
  const where = error instanceof StepError ? `step '${error.step}'` : 'the demo';
  // The message's first line is the reason; the logs, which follow it in the message, are printed for every node below.
  const reason = error instanceof Error ? error.message.split('\n', 1)[0] : error;
  console.error(`\n${where} failed: ${reason}`);
  for (const weft of running) {
    if (weft.tail() !== '') console.error(`\n${weft.process.name} said last:\n${weft.tail()}`);
  }
  process.exitCode = 1;
}
