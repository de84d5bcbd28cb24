/**
 * A soak test: everything that a node does, at once and for long.
 *
 *     pod 1 ── iperf3 TCP, UDP of 64 B, ping ──► node 1 ── veth ── node 2 ──► pod 1
 *              leases change, the links of node 1 flap, weft status is polled
 */

import { readdirSync, readFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { startWeft, type WeftDataplane } from '../../lab/dataplanes/weft.js';
import { ipBatch } from '../../lab/ip.js';
import type { Lab } from '../../lab/lab.js';
import { madeUpLease, netConf, writeLeases } from '../../lab/leases.js';
import { memory, resetPeak } from '../../lab/proc.js';
import { iperf } from '../../lab/traffic/iperf.js';
import { ping } from '../../lab/traffic/ping.js';
import { until } from '../../lab/until.js';
import { ask } from '../../src/control/ipc/client.js';
import type { Status } from '../../src/control/node/status.js';
import { Pings } from './pings.js';
import { brokenLimits, type Limits, type Sample } from './samples.js';

export interface SoakOptions {
  readonly minutes: number;
  readonly limits: Limits;
  /** Seconds between two samples. */
  readonly sampleEvery?: number;
  readonly onSample?: (node: string, sample: Sample) => void;
}

export interface SoakResult {
  readonly samples: Record<string, Sample[]>;
  /** MiB of RSS since the load began. */
  readonly peaks: Record<string, number>;
  readonly pings: { sent: number; lostInFlaps: number; lost: number; countedDrops: number };
  /** Flaps, status polls, sets of leases, and runs of iperf3 that an interruption ended. */
  readonly counts: Record<string, number>;
  /** A line for each limit that is broken. */
  readonly broken: string[];
}

const TCP_S = 8;
const FLAP_EVERY_MS = 20_000;
const DOWN_MS = 500;
/** A path works again so long after its link. */
const RECOVERY_S = 5;
/** Pings that full queues may drop beside the bulk traffic. */
const UNEXPLAINED = 0.01;
const CHURN_LEASES = 200;
const CHURN_EVERY_MS = 500;
const STATUS_EVERY_MS = 1000;
/** Time for the start-up's own memory to be released before the load begins. */
const REST_MS = 3000;

/** Runs the load on a lab of two nodes. @throws if Weft cannot start or does not answer */
export async function soak(lab: Lab, options: SoakOptions): Promise<SoakResult> {
  const wefts: WeftDataplane[] = [];
  for (const node of lab.nodes) {
    wefts.push(await startWeft(node, { netConf: { ...netConf(), Network: '10.0.0.0/8' } }));
  }
  const [here, there] = [lab.pod(1), lab.pod(2)];
  await until('pods reach each other', async () => (await ping(here.netns, there.address)).received > 0);
  await delay(REST_MS);
  for (const weft of wefts) resetPeak(weft.process.pid);
  const drops = async (): Promise<number> => {
    const all = await Promise.all(wefts.map(statusOf));
    return all.reduce((sum, { counters }) => sum + droppedIn(counters), 0);
  };
  const before = await drops();
  const run = new SoakRun(lab, wefts, options);
  await run.end();
  const countedDrops = (await drops()) - before;
  return run.result(countedDrops);
}

class SoakRun {
  private readonly lab: Lab;
  private readonly wefts: readonly WeftDataplane[];
  private readonly options: SoakOptions;
  private readonly begun = performance.now();
  private readonly ends: number;
  private readonly samples: Record<string, Sample[]> = {};
  private readonly counts = { flaps: 0, statuses: 0, leaseSets: 0, interrupted: 0 };
  /** Unix seconds between which a path is down, and may come back. */
  private readonly outages: { from: number; to: number }[] = [];
  private readonly pings: Pings;
  private readonly jobs: Promise<void>;

  constructor(lab: Lab, wefts: readonly WeftDataplane[], options: SoakOptions) {
    this.lab = lab;
    this.wefts = wefts;
    this.options = options;
    this.ends = this.begun + options.minutes * 60_000;
    this.pings = new Pings(lab.pod(1), lab.pod(2));
    this.jobs = Promise.all([
      this.repeat(() => this.bulk()),
      this.repeat(() => this.small()),
      this.repeat(() => this.churn()),
      this.repeat(() => this.flap()),
      this.repeat(() => this.poll()),
      this.repeat(() => this.sample()),
    ]).then(() => {});
  }

  async end(): Promise<void> {
    try {
      await this.jobs;
    } finally {
      this.pings.take();
      await this.pings.stop();
    }
  }

  result(countedDrops: number): SoakResult {
    const { outages, samples, counts } = this;
    const { losses, sent } = this.pings;
    const explained = losses.filter((loss) =>
      outages.some(({ from, to }) => loss.to >= from && loss.from <= to),
    );
    const lostInFlaps = explained.reduce((sum, { lost }) => sum + lost, 0);
    const lost = losses.reduce((sum, loss) => sum + loss.lost, 0) - lostInFlaps;
    const peaks = Object.fromEntries(
      this.wefts.map(({ node, process }) => [node.name, memory(process.pid).peak]),
    );
    const broken = Object.entries(samples).flatMap(([node, list]) =>
      brokenLimits(node, list, peaks[node] ?? 0, this.options.limits),
    );
    if (lost > sent * UNEXPLAINED)
      broken.push(`${lost} of ${sent} pings lost at other times than flaps, limit ${UNEXPLAINED * 100} %`);
    return { samples, peaks, pings: { sent, lostInFlaps, lost, countedDrops }, counts, broken };
  }

  private async repeat(step: () => Promise<void>): Promise<void> {
    while (performance.now() < this.ends) await step();
  }

  private async bulk(): Promise<void> {
    const [from, to] = [this.lab.pod(1), this.lab.pod(2)];
    await this.interruptible(iperf(from, to, { seconds: TCP_S, bidirectional: true }));
  }

  private async small(): Promise<void> {
    const [from, to] = [this.lab.pod(2), this.lab.pod(1)];
    await this.interruptible(iperf(from, to, { seconds: TCP_S, udpPayload: 64, bitrate: '5M', port: 5301 }));
  }

  /** A flap may end the control connection of iperf3. */
  private async interruptible(run: Promise<unknown>): Promise<void> {
    try {
      await run;
    } catch {
      this.counts.interrupted++;
      await delay(1000);
    }
  }

  private async churn(): Promise<void> {
    const [weft] = this.wefts;
    const generation = ++this.counts.leaseSets;
    const extra = Array.from({ length: CHURN_LEASES }, (_, index) => madeUpLease(index, generation));
    await writeLeases(weft.leaseFile, [...this.lab.leases(), ...extra]);
    await delay(CHURN_EVERY_MS);
  }

  /** Sets the underlay, then the overlay device of node 1 down and up, in turns. */
  private async flap(): Promise<void> {
    await delay(Math.min(FLAP_EVERY_MS, Math.max(0, this.ends - performance.now())));
    if (performance.now() >= this.ends) return;
    const { netns, iface } = this.lab.node(1);
    const device = this.counts.flaps++ % 2 === 0 ? iface : 'flannel.1';
    const outage = { from: Date.now() / 1000 - 0.1, to: Number.POSITIVE_INFINITY };
    this.outages.push(outage);
    await ipBatch(netns, [`link set ${device} down`]);
    await delay(DOWN_MS);
    // Weft sets its own device up again.
    if (device === iface) await ipBatch(netns, [`link set ${device} up`]);
    outage.to = Date.now() / 1000 + RECOVERY_S;
  }

  private async poll(): Promise<void> {
    for (const weft of this.wefts) await statusOf(weft);
    this.counts.statuses++;
    await delay(STATUS_EVERY_MS);
  }

  private async sample(): Promise<void> {
    await delay((this.options.sampleEvery ?? 5) * 1000);
    const trips = this.pings.take();
    const percentile = (share: number): number => trips[Math.floor((trips.length - 1) * share)] ?? 0;
    for (const weft of this.wefts) {
      const { pid } = weft.process;
      const { repairs } = await statusOf(weft);
      const sample = {
        at: Math.round((performance.now() - this.begun) / 1000),
        ...residentOf(pid),
        descriptors: readdirSync(`/proc/${pid}/fd`).length,
        repairs: Object.values(repairs).reduce((sum, count) => sum + count, 0),
        p50: percentile(0.5),
        p999: percentile(0.999),
      };
      const { name } = weft.node;
      this.samples[name] = [...(this.samples[name] ?? []), sample];
      this.options.onSample?.(name, sample);
    }
  }
}

async function statusOf(weft: WeftDataplane): Promise<Status> {
  return (await ask(weft.runDir, { command: 'status' })) as Status;
}

function droppedIn(counters: Record<string, number>): number {
  const drops = Object.entries(counters).filter(([name]) => name.includes('_drop_'));
  return drops.reduce((sum, [, count]) => sum + count, 0);
}

function residentOf(pid: number): Pick<Sample, 'rss' | 'anonymous'> {
  const text = readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8');
  const field = (name: string): number =>
    Number(new RegExp(`^${name}: +(\\d+) kB`, 'm').exec(text)?.[1] ?? 0) / 1024;
  return { rss: field('Rss'), anonymous: field('Anonymous') };
}
