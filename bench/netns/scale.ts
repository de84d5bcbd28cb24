/** Figures of many leases: throughput with them, time to apply them, throughput while they change. */

import {
  type Dataplane,
  DEVICE,
  fdbLine,
  neighbourLine,
  programPeers,
} from '../../lab/dataplanes/dataplane.js';
import type { WeftDataplane } from '../../lab/dataplanes/weft.js';
import { bridgeBatch, ipBatch, ipJson } from '../../lab/ip.js';
import { madeUpLease, type VxlanLease, writeLeases } from '../../lab/leases.js';
import { countRoutes, memory } from '../../lab/proc.js';
import { iperf } from '../../lab/traffic/iperf.js';
import { until } from '../../lab/until.js';
import { type Figure, withBoth } from './figure.js';

const MANY = 10_000;
const SIZES = [2, 1000, MANY] as const;

/** Number of leases, and how they change: 100 leases ten times a second. */
const CHURN_LEASES = 2000;
const CHURN_STEP = 100;
const CHURN_EVERY_MS = 100;

function madeUp(count: number): VxlanLease[] {
  return Array.from({ length: count }, (_, index) => madeUpLease(index));
}

const scale: Figure = {
  name: 'scale',
  runs: SIZES.length,
  metrics: SIZES.map((size) => ({
    key: `leases${size}`,
    title: `TCP 1 stream with ${size} leases`,
    unit: 'Gbit/s',
    better: 'more',
  })),
  without: ['ovs'],
  async measure(bed) {
    const values: Record<string, number> = {};
    for (const size of SIZES) {
      const run = () => iperf(bed.lab.pod(1), bed.lab.pod(2), { seconds: bed.seconds });
      values[`leases${size}`] = (await withBoth(bed, run, madeUp(size - 2))).gbits;
    }
    return values;
  },
};

const apply: Figure = {
  name: 'apply',
  metrics: [{ key: 'seconds', title: `time to apply ${MANY} leases`, unit: 's', better: 'less' }],
  without: ['ovs', 'naive'],
  measure: (bed) =>
    withBoth(bed, async ([dataplane]) => {
      const extra = madeUp(MANY - 2);
      const startedAt = performance.now();
      if (dataplane.kind === 'kernel') await programPeers(dataplane.node, extra, { fdb: true });
      else await replaceLeases(dataplane as WeftDataplane, extra);
      return { seconds: (performance.now() - startedAt) / 1000 };
    }),
};

/** Rewrites Weft's lease file and waits for the last route; Weft sets a lease's route last. */
async function replaceLeases(weft: WeftDataplane, extra: readonly VxlanLease[]): Promise<void> {
  const { node } = weft;
  await writeLeases(weft.leaseFile, [node.lease(), ...node.peers(), ...extra]);
  const wanted = extra.length + node.peers().length;
  await until(`${wanted} routes`, () => countRoutes(weft.process.pid, DEVICE) === wanted, {
    timeoutMs: 60_000,
    everyMs: 20,
  });
}

const churn: Figure = {
  name: 'churn',
  runs: 2,
  metrics: [
    {
      key: 'still',
      title: `TCP 1 stream with ${CHURN_LEASES} leases at rest`,
      unit: 'Gbit/s',
      better: 'more',
    },
    { key: 'changing', title: 'TCP 1 stream while 1000 leases/s change', unit: 'Gbit/s', better: 'more' },
    { key: 'memory', title: 'RSS growth meanwhile', unit: 'MiB', better: 'less' },
    { key: 'rate', title: 'leases changed per second', unit: '/s', better: 'none' },
    { key: 'lag', title: 'last change to its neighbour entry', unit: 's', better: 'none' },
  ],
  without: ['ovs', 'naive'],
  measure: (bed) =>
    withBoth(
      bed,
      async (dataplanes) => {
        const run = () => iperf(bed.lab.pod(1), bed.lab.pod(2), { seconds: bed.seconds });
        const still = (await run()).gbits;
        const [dataplane] = dataplanes;
        const resident = (): number => dataplane.pids().reduce((sum, pid) => sum + memory(pid).resident, 0);
        const before = resident();
        const churning = new Churn(dataplane);
        const { gbits } = await run().finally(() => churning.pause());
        const growth = dataplane.kind === 'kernel' ? {} : { memory: resident() - before };
        return { still, changing: gbits, ...growth, ...(await churning.end()) };
      },
      madeUp(CHURN_LEASES),
    ),
};

/** Changes MAC and address of 100 leases every 100 ms on one node until `end`. */
class Churn {
  private readonly dataplane: Dataplane;
  private readonly leases = madeUp(CHURN_LEASES);
  private readonly generations = new Uint32Array(CHURN_LEASES);
  private readonly startedAt = performance.now();
  private next = 0;
  private changed = 0;
  private timer: NodeJS.Timeout | undefined;
  private step: Promise<void> = Promise.resolve();
  private ended = false;

  constructor(dataplane: Dataplane) {
    this.dataplane = dataplane;
    this.schedule();
  }

  /** Begins no further step. */
  pause(): void {
    this.ended = true;
    clearTimeout(this.timer);
  }

  /**
   * Stops. Returns the rate, which is lower if steps took longer than their time. Also returns the time from the last
   * change to its neighbour entry, which proves that the node applied the changes.
   */
  async end(): Promise<{ rate: number; lag: number }> {
    this.pause();
    await this.step;
    const endedAt = performance.now();
    const rate = this.changed / ((endedAt - this.startedAt) / 1000);
    const last = this.leases[(this.next + CHURN_LEASES - 1) % CHURN_LEASES];
    const { netns } = this.dataplane.node;
    await until('the last change is applied', async () => {
      const base = last.Subnet.slice(0, last.Subnet.indexOf('/'));
      const [entry] = await ipJson<{ lladdr?: string }[]>(netns, 'neigh', 'show', base, 'dev', DEVICE);
      return entry?.lladdr === last.BackendData.VtepMAC;
    });
    return { rate, lag: (performance.now() - endedAt) / 1000 };
  }

  private schedule(): void {
    // Steps are due at fixed times from the start; after a late step the next follows at once.
    const due = this.startedAt + (this.changed / CHURN_STEP + 1) * CHURN_EVERY_MS;
    this.timer = setTimeout(
      () => {
        this.step = this.change().then(() => {
          if (!this.ended) this.schedule();
        });
        // end() awaits the same promise and throws its failure.
        this.step.catch(() => undefined);
      },
      Math.max(0, due - performance.now()),
    );
  }

  private async change(): Promise<void> {
    const fresh: VxlanLease[] = [];
    const stale: VxlanLease[] = [];
    for (let count = 0; count < CHURN_STEP; count++) {
      const index = this.next;
      this.next = (index + 1) % CHURN_LEASES;
      const generation = this.generations[index] + 1;
      this.generations[index] = generation;
      const [old, lease] = [this.leases[index], madeUpLease(index, generation)];
      stale.push(old);
      this.leases[index] = lease;
      fresh.push(lease);
    }
    const { node } = this.dataplane;
    if (this.dataplane.kind === 'kernel') {
      await ipBatch(node.netns, fresh.map(neighbourLine));
      await bridgeBatch(node.netns, [
        ...fresh.map(fdbLine),
        ...stale.map(
          (lease) => `fdb delete ${lease.BackendData.VtepMAC} dev ${DEVICE} dst ${lease.PublicIP} self`,
        ),
      ]);
    } else {
      const { leaseFile } = this.dataplane as WeftDataplane;
      await writeLeases(leaseFile, [node.lease(), ...node.peers(), ...this.leases]);
    }
    this.changed += CHURN_STEP;
  }
}

export const scaleFigures: readonly Figure[] = [scale, apply, churn];
