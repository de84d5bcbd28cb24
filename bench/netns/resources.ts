// Figures of what a dataplane costs: CPU per byte moved, memory.

import type { Dataplane } from '../../lab/dataplanes/dataplane.js';
import { cpuSeconds, machineCpuSeconds, memory } from '../../lab/proc.js';
import { iperf } from '../../lab/traffic/iperf.js';
import { type Figure, withBoth } from './figure.js';

const cost: Figure = {
  name: 'cost',
  metrics: [
    { key: 'process', title: 'dataplane CPU per GB, both nodes', unit: 's', better: 'less' },
    { key: 'machine', title: 'CPU of the whole machine per GB', unit: 's', better: 'less' },
  ],
  measure: (bed) =>
    withBoth(bed, async (dataplanes): Promise<Record<string, number>> => {
      const pids = dataplanes.flatMap((dataplane) => dataplane.pids());
      const spent = () => pids.reduce((sum, pid) => sum + cpuSeconds(pid), 0);
      const [before, machineBefore] = [spent(), machineCpuSeconds()];
      const { bytes } = await iperf(bed.lab.pod(1), bed.lab.pod(2), { seconds: bed.seconds });
      const gigabytes = bytes / 1e9;
      const machine = (machineCpuSeconds() - machineBefore) / gigabytes;
      // The kernel's vxlan has no process: its work shows in the machine's time alone.
      return pids.length === 0 ? { machine } : { machine, process: (spent() - before) / gigabytes };
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
      await iperf(bed.lab.pod(1), bed.lab.pod(2), { seconds: bed.seconds, streams: 4, bidirectional: true });
      return { rest, peak: largest(dataplanes, 'peak'), after: largest(dataplanes, 'resident') };
    }),
};

/** Memory of the node that has more of it. */
function largest(dataplanes: readonly Dataplane[], which: 'resident' | 'peak'): number {
  return Math.max(
    ...dataplanes.map((dataplane) => dataplane.pids().reduce((sum, pid) => sum + memory(pid)[which], 0)),
  );
}

export const resourceFigures: readonly Figure[] = [cost, memoryFigure];
