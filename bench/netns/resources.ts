/** Figures of a dataplane's cost: CPU per byte moved, memory. */

import { setTimeout } from 'node:timers/promises';
import type { Dataplane } from '../../lab/dataplanes/dataplane.js';
import { cpuSeconds, machineCpuSeconds, memory, resetPeak } from '../../lab/proc.js';
import { iperf } from '../../lab/traffic/iperf.js';
import { ping } from '../../lab/traffic/ping.js';
import { type Bed, type Figure, withBoth } from './figure.js';

/** Returns the CPU seconds of all processes of these dataplanes. */
function spentBy(dataplanes: readonly Dataplane[]): number {
  return dataplanes.flatMap((dataplane) => dataplane.pids()).reduce((sum, pid) => sum + cpuSeconds(pid), 0);
}

/** Runs TCP as fast as possible in both directions. */
async function fullLoad(bed: Bed): Promise<void> {
  await iperf(bed.lab.pod(1), bed.lab.pod(2), { seconds: bed.seconds, streams: 4, bidirectional: true });
}

const cost: Figure = {
  name: 'cost',
  metrics: [
    { key: 'process', title: 'dataplane CPU per GB, both nodes', unit: 's', better: 'less' },
    { key: 'machine', title: 'CPU of the whole machine per GB', unit: 's', better: 'less' },
  ],
  measure: (bed) =>
    withBoth(bed, async (dataplanes): Promise<Record<string, number>> => {
      const [before, machineBefore] = [spentBy(dataplanes), machineCpuSeconds()];
      const { bytes } = await iperf(bed.lab.pod(1), bed.lab.pod(2), { seconds: bed.seconds });
      const gigabytes = bytes / 1e9;
      const machine = (machineCpuSeconds() - machineBefore) / gigabytes;
      // Kernel vxlan has no process: its work appears in the machine's time alone.
      return dataplanes.every((dataplane) => dataplane.pids().length === 0)
        ? { machine }
        : { machine, process: (spentBy(dataplanes) - before) / gigabytes };
    }),
};

const memoryFigure: Figure = {
  name: 'memory',
  metrics: [
    { key: 'rest', title: 'RSS at rest', unit: 'MiB', better: 'less' },
    { key: 'peak', title: 'RSS peak under load', unit: 'MiB', better: 'less' },
    { key: 'after', title: 'RSS after load', unit: 'MiB', better: 'less' },
  ],
  without: ['kernel'],
  measure: (bed) =>
    withBoth(bed, async (dataplanes) => {
      const rest = largest(dataplanes, 'resident');
      for (const dataplane of dataplanes) for (const pid of dataplane.pids()) resetPeak(pid);
      await fullLoad(bed);
      return { rest, peak: largest(dataplanes, 'peak'), after: largest(dataplanes, 'resident') };
    }),
};

/** Returns the memory of the node that uses more. */
function largest(dataplanes: readonly Dataplane[], which: 'resident' | 'peak'): number {
  return Math.max(
    ...dataplanes.map((dataplane) => dataplane.pids().reduce((sum, pid) => sum + memory(pid)[which], 0)),
  );
}

const quiet: Figure = {
  name: 'quiet',
  runs: 2,
  metrics: [
    { key: 'idle', title: 'CPU without traffic', unit: '%', better: 'less' },
    { key: 'pings', title: 'CPU at 100 packets/s', unit: '%', better: 'less' },
  ],
  without: ['kernel'],
  measure: (bed) =>
    withBoth(bed, async (dataplanes) => {
      const share = async (body: () => Promise<unknown>): Promise<number> => {
        const [before, from] = [spentBy(dataplanes), performance.now()];
        await body();
        const seconds = (performance.now() - from) / 1000;
        return (100 * (spentBy(dataplanes) - before)) / dataplanes.length / seconds;
      };
      const [from, to] = [bed.lab.pod(1), bed.lab.pod(2)];
      // 50 echo requests and 50 replies a second: 100 packets through each dataplane.
      const pings = await share(() =>
        ping(from.netns, to.address, { count: bed.seconds * 50, interval: 0.02 }),
      );
      const idle = await share(() => setTimeout(bed.seconds * 1000));
      return { idle, pings };
    }),
};

const gc: Figure = {
  name: 'gc',
  metrics: [
    { key: 'count', title: 'garbage collections under load', unit: '', better: 'less' },
    { key: 'longest', title: 'longest of them', unit: 'ms', better: 'less' },
  ],
  without: ['kernel', 'ovs', 'naive', 'proxy'],
  measure: (bed) =>
    withBoth(
      bed,
      async (dataplanes) => {
        const before = collections(dataplanes).length;
        await fullLoad(bed);
        const pauses = collections(dataplanes).slice(before);
        return { count: pauses.length, longest: Math.max(0, ...pauses) };
      },
      [],
      ['--trace-gc'],
    ),
};

/** Returns the pauses of all threads in ms that --trace-gc has printed so far. */
function collections(dataplanes: readonly Dataplane[]): number[] {
  const lines = dataplanes.flatMap((dataplane) => dataplane.tail(Number.POSITIVE_INFINITY).split('\n'));
  return lines.flatMap((line) => {
    const pause = /^\[\d+:0x.* ms: .* ([\d.]+) \/ [\d.]+ ms/.exec(line)?.[1];
    return pause === undefined ? [] : [Number(pause)];
  });
}

export const resourceFigures: readonly Figure[] = [cost, memoryFigure, quiet, gc];
