/**
 * `npm run demo`: three nodes with two pods each and one lease file; pings and iperf3 over Weft and over kernel vxlan.
 *
 *     pod1, pod2 ── node1 ─┐
 *     pod1, pod2 ── node2 ─┤ 192.168.77.0/24: veth without offloads, like the NIC of a Raspberry Pi
 *     pod1, pod2 ── node3 ─┘
 */

import { cpus, release } from 'node:os';
import { DEMO, IPERF_SECONDS, pingAll, podPairs, ring, startAll, stopAll, streamAll } from './cluster.js';
import { kernelHasVxlan, startKernel } from './dataplanes/kernel.js';
import type { WeftDataplane } from './dataplanes/weft.js';
import { demoScreen, type Result, type Shown, worked } from './demo-screen.js';
import { Lab } from './lab.js';
import { paintOfStdout } from './paint.js';
import { StepError, step } from './steps.js';

/** Lines of each node's log after a failure: those of three nodes fit on the screen. */
const LOGGED = 4;

/** The part of `weft status --json` that the demo uses. */
interface Status {
  readonly offload: { readonly rung: string };
  readonly counters: Readonly<Record<string, number>>;
}

async function measure(lab: Lab, name: string): Promise<Result> {
  const pings = await step('ping', `${name}: every pair of pods`, (update) => pingAll(lab, update));
  const gbits = await step('iperf3', `${name}: TCP for ${IPERF_SECONDS} s from node to node`, (update) =>
    streamAll(lab, update),
  );
  return { pings, gbits };
}

/** Returns the drop counters of all nodes, summed. */
function dropsOf(statuses: readonly Status[]): Record<string, number> {
  const drops: Record<string, number> = {};
  for (const { counters } of statuses) {
    for (const [name, count] of Object.entries(counters)) {
      if (name.includes('_drop_')) drops[name] = (drops[name] ?? 0) + count;
    }
  }
  return drops;
}

let running: readonly WeftDataplane[] = [];

// A closed pipe (`npm run demo | head`) ends this process, and with it its world.
process.stdout.on('error', () => process.exit(1));

async function demo(): Promise<Shown> {
  console.log('Weft demo: a cluster of three nodes on this machine, in about 40 s\n');
  const lab = await step('build', '3 nodes and 6 pods, as network namespaces', () => Lab.create(DEMO));
  try {
    const wefts = await step('weft', 'start `weft run` on every node', () =>
      startAll(lab, (spawned) => {
        running = spawned;
      }),
    );
    const weft = await measure(lab, 'Weft');
    const statuses = (await Promise.all(wefts.map((one) => one.status()))) as Status[];
    await step('stop', 'stop Weft on every node, and `weft cleanup`', () => stopAll(wefts));
    let kernel: Result | undefined;
    if (await kernelHasVxlan()) {
      for (const node of lab.nodes) await startKernel(node);
      kernel = await measure(lab, 'kernel vxlan');
    }
    return {
      nodes: lab.nodes.length,
      pods: lab.nodes.reduce((sum, node) => sum + node.pods.length, 0),
      pairs: podPairs(lab).map(([from, to]) => ({
        name: `${from.name} -> ${to.name}`,
        sameNode: lab.nodes.some((node) => node.pods.includes(from) && node.pods.includes(to)),
      })),
      streams: ring(lab).map(([from, to]) => `${from.name} -> ${to.name}`),
      weft,
      kernel,
      level: statuses[0]?.offload.rung ?? 'unknown',
      drops: dropsOf(statuses),
      release: release(),
      cores: cpus().length,
    };
  } finally {
    await lab.dispose();
  }
}

try {
  const shown = await demo();
  console.log(demoScreen(shown, paintOfStdout()).join('\n'));
  process.exitCode = worked(shown) ? 0 : 1;
} catch (error) {
  const where = error instanceof StepError ? `step '${error.step}'` : 'the demo';
  // The reason comes last, below the logs; the first line of the message is enough.
  const reason = error instanceof Error ? error.message.split('\n', 1)[0] : error;
  for (const weft of running) {
    if (weft.tail() !== '') console.error(`\n${weft.process.name} logged last:\n${weft.tail(LOGGED)}`);
  }
  console.error(`\n${where} failed: ${reason}`);
  process.exitCode = 1;
}
