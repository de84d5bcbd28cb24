/** The cluster of `npm run demo`: Weft on every node of a lab, with one lease file, and traffic between all pods. */

import { ready, spawnWeft, type WeftDataplane } from './dataplanes/weft.js';
import type { Lab, LabOptions } from './lab.js';
import { writeLeases } from './leases.js';
import type { Pod } from './node.js';
import type { Update } from './steps.js';
import { iperf } from './traffic/iperf.js';
import { type PingResult, ping } from './traffic/ping.js';

/** The nodes of the demo. */
export const DEMO: LabOptions = { nodes: 3, podsPerNode: 2, mode: 'plain' };

/** Pings between two pods. */
const PINGS = 10;
/** Seconds of one TCP stream. */
export const IPERF_SECONDS = 3;

export type Pair = readonly [from: Pod, to: Pod];

/** Returns every pair of pods once: an answered ping has crossed in both directions. */
export function podPairs(lab: Lab): Pair[] {
  const pods = lab.nodes.flatMap((node) => node.pods);
  return pods.flatMap((from, index) => pods.slice(index + 1).map((to): Pair => [from, to]));
}

/** Returns the pairs of a ring through all nodes. */
export function ring(lab: Lab): Pair[] {
  return lab.nodes.map(
    (node, index): Pair => [lab.pod(node.index), lab.pod(((index + 1) % lab.nodes.length) + 1)],
  );
}

/** Pings between every pair of pods. */
export async function pingAll(lab: Lab, update: Update): Promise<PingResult[]> {
  const results: PingResult[] = [];
  const pairs = podPairs(lab);
  for (const [from, to] of pairs) {
    update(`${results.length} of ${pairs.length}`);
    // The first one includes ARP between pod and bridge; it counts as a ping, but not for the times.
    const first = await ping(from.netns, to.address, { count: 1 });
    const rest = await ping(from.netns, to.address, { count: PINGS - 1 });
    results.push({ ...rest, sent: first.sent + rest.sent, received: first.received + rest.received });
  }
  return results;
}

/** Runs one TCP stream from each node to the next, and returns their Gbit/s. */
export async function streamAll(lab: Lab, update: Update): Promise<number[]> {
  const gbits: number[] = [];
  for (const [from, to] of ring(lab)) {
    update([...gbits.map((one) => one.toFixed(2)), '…'].join('  '));
    gbits.push((await iperf(from, to, { seconds: IPERF_SECONDS })).gbits);
  }
  return gbits;
}

/** Spawns `weft run` on every node; `spawned` gets the processes before they are ready. */
export async function startAll(
  lab: Lab,
  spawned: (wefts: readonly WeftDataplane[]) => void = () => undefined,
): Promise<WeftDataplane[]> {
  const leaseFile = `${lab.dir}/leases.json`;
  await writeLeases(leaseFile, lab.leases());
  const wefts = await Promise.all(lab.nodes.map((node) => spawnWeft(node, { leaseFile })));
  spawned(wefts);
  await Promise.all(wefts.map((weft) => ready(weft)));
  return wefts;
}

/** Stops Weft on every node, and removes what it leaves. */
export async function stopAll(wefts: readonly WeftDataplane[]): Promise<void> {
  for (const weft of wefts) {
    const exit = await weft.end();
    if (exit.code !== 0)
      throw new Error(`${weft.process.name} exited with ${exit.code ?? exit.signal} instead of 0`);
    await weft.cleanUp();
  }
}
