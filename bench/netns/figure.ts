/** A figure starts a peer on both nodes, measures, and returns named values. */

import type { Dataplane } from '../../lab/dataplanes/dataplane.js';
import type { Lab } from '../../lab/lab.js';
import type { VxlanLease } from '../../lab/leases.js';
import { ping } from '../../lab/traffic/ping.js';
import { until } from '../../lab/until.js';
import type { Peer } from './peers.js';

/** A value that a figure returns. */
export interface Metric {
  readonly key: string;
  readonly title: string;
  readonly unit: string;
  /** The better direction; 'none' for values that only explain others. */
  readonly better: 'more' | 'less' | 'none';
}

/** The test bed of one measurement. */
export interface Bed {
  readonly lab: Lab;
  readonly peer: Peer;
  /** Length of one run of a traffic tool. */
  readonly seconds: number;
}

export interface Figure {
  readonly name: string;
  readonly metrics: readonly Metric[];
  /** Traffic runs of one measurement, for the estimate of the time left; 1 by default. */
  readonly runs?: number;
  /** Peers that the figure does not apply to. */
  readonly without?: readonly Peer['kind'][];
  /** Measures once. The keys are those of `metrics`; a key may be missing. */
  measure(bed: Bed): Promise<Readonly<Record<string, number>>>;
}

/** Starts the peer on both nodes, waits until pods reach each other, runs the body and stops the peer. */
export async function withBoth<T>(
  bed: Bed,
  body: (dataplanes: readonly Dataplane[]) => Promise<T>,
  extra: readonly VxlanLease[] = [],
  nodeFlags: readonly string[] = [],
): Promise<T> {
  const dataplanes: Dataplane[] = [];
  try {
    for (const node of bed.lab.nodes) dataplanes.push(await bed.peer.start(node, extra, nodeFlags));
    await reachable(bed.lab);
    return await body(dataplanes);
  } catch (error) {
    throw withLogs(error, dataplanes);
  } finally {
    for (const dataplane of dataplanes.reverse()) await dataplane.stop();
  }
}

/** Waits until a pod of node 1 gets replies from a pod of node 2. */
export async function reachable(lab: Lab): Promise<void> {
  await until(
    'pods reach each other',
    async () => (await ping(lab.pod(1).netns, lab.pod(2).address, { count: 1, wait: 1 })).received === 1,
    { timeoutMs: 10_000 },
  );
}

function withLogs(error: unknown, dataplanes: readonly Dataplane[]): Error {
  const logs = dataplanes.map((dataplane) => dataplane.tail()).filter((tail) => tail !== '');
  const reason = error instanceof Error ? error.message : String(error);
  return new Error([reason, ...logs].join('\n'), { cause: error });
}
