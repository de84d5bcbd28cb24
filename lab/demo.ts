/**
 * `npm run demo`: three nodes with two pods each and one lease file; pings and iperf3 over Weft and over kernel vxlan.
 *
 *     pod1, pod2 ── node1 ─┐
 *     pod1, pod2 ── node2 ─┤ 192.168.77.0/24: veth without offloads, like the NIC of a Raspberry Pi
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

/** The results of one dataplane. */
interface Result {
  readonly pings: readonly PingResult[];
  readonly gbits: readonly number[];
}

type Pair = readonly [from: Pod, to: Pod];

/** Returns every pair of pods once: an answered ping has crossed in both directions. */
function podPairs(lab: Lab): Pair[] {
  const pods = lab.nodes.flatMap((node) => node.pods);
  return pods.flatMap((from, index) => pods.slice(index + 1).map((to): Pair => [from, to]));
}

/** Returns the pairs of a ring through all nodes. */
function ring(lab: Lab): Pair[] {
  return lab.nodes.map(
    (node, index): Pair => [lab.pod(node.index), lab.pod(((index + 1) % lab.nodes.length) + 1)],
  );
}

async function measure(lab: Lab, name: string): Promise<Result> {
  const pings: PingResult[] = [];
  await step('ping', `${name}: ping between every pair of pods, ${PINGS} times`, async () => {
    for (const [from, to] of podPairs(lab)) {
      // The first one includes ARP between pod and bridge; it counts as a ping, but not for the times.
      const first = await ping(from.netns, to.address, { count: 1 });
      const rest = await ping(from.netns, to.address, { count: PINGS - 1 });
      pings.push({ ...rest, sent: first.sent + rest.sent, received: first.received + rest.received });
    }
  });
  const gbits: number[] = [];
  await step(
    'iperf3',
    `${name}: one TCP stream for ${IPERF_SECONDS} s from each node to the next`,
    async () => {
      for (const [from, to] of ring(lab))
        gbits.push((await iperf(from, to, { seconds: IPERF_SECONDS })).gbits);
    },
  );
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
      throw new Error(`${weft.process.name} exited with ${exit.code ?? exit.signal} instead of 0`);
    await weft.cleanUp();
  }
}

function report(lab: Lab, weft: Result, kernel: Result | undefined): void {
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
        { title: 'Ping round trip, ms (min / avg)' },
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
        { title: 'One TCP stream, Gbit/s   ' },
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

// A closed pipe (`npm run demo | head`) ends this process, and with it its world.
process.stdout.on('error', () => process.exit(1));

async function demo(): Promise<boolean> {
  console.log('Weft demo: a cluster of three nodes on this machine, with two pods per node\n');
  const lab = await step('build', 'make 3 nodes and 6 pods as network namespaces', () =>
    Lab.create({ nodes: 3, podsPerNode: 2, mode: 'plain' }),
  );
  try {
    const wefts = await step('weft', 'start `weft run` on every node', () => startAll(lab));
    const weft = await measure(lab, 'Weft');
    const status = await step(
      'status',
      'read `weft status` on node1',
      async () => (await wefts[0]?.statusText()) ?? '',
    );
    await step('stop', 'stop Weft on every node (SIGTERM, then weft cleanup)', () => stopAll(wefts));

    let kernel: Result | undefined;
    if (await kernelHasVxlan()) {
      for (const node of lab.nodes) await startKernel(node);
      kernel = await measure(lab, 'kernel vxlan');
    } else console.log('  kernel   no comparison: this kernel has no vxlan, as on the nodes that need Weft');

    report(lab, weft, kernel);
    console.log(
      `\n  Output of 'weft status' on node1, before the stop:\n\n${status.trimEnd().replaceAll(/^(?=.)/gm, '    ')}`,
    );
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
  // The first line of the message is the reason; the logs after it are printed for every node below.
  const reason = error instanceof Error ? error.message.split('\n', 1)[0] : error;
  console.error(`\n${where} failed: ${reason}`);
  for (const weft of running) {
    if (weft.tail() !== '') console.error(`\n${weft.process.name} logged last:\n${weft.tail()}`);
  }
  process.exitCode = 1;
}
