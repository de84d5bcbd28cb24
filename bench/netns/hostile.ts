/**
 * Figures of a node under hostile traffic: TCP beside a flood from an unknown address, and a pod's packets beside another
 * pod that sends as much as it can. The value to compare is the share that is kept.
 */

import { startFlood } from '../../lab/traffic/flood.js';
import { iperf } from '../../lab/traffic/iperf.js';
import { sockperf } from '../../lab/traffic/sockperf.js';
import { type Bed, type Figure, withBoth } from './figure.js';

const UNKNOWN = '192.168.77.66';
const FLOOD_RATE = 194_000;
const FLOOD_SIZES = [1400, 64] as const;

const tcp = (bed: Bed) => iperf(bed.lab.pod(1), bed.lab.pod(2), { seconds: bed.seconds });

const flood: Figure = {
  name: 'flood',
  runs: 1 + FLOOD_SIZES.length,
  metrics: [
    { key: 'calm', title: 'TCP 1 stream without a flood', unit: 'Gbit/s', better: 'none' },
    ...FLOOD_SIZES.flatMap((size) => [
      {
        key: `kept${size}`,
        title: `share of it beside ${FLOOD_RATE / 1000} k/s of ${size} B from an unknown address`,
        unit: '',
        better: 'more' as const,
      },
      { key: `rate${size}`, title: `sent datagrams of ${size} B`, unit: 'k/s', better: 'none' as const },
    ]),
  ],
  without: ['ovs', 'naive', 'proxy'],
  measure: (bed) =>
    withBoth(bed, async () => {
      const calm = (await tcp(bed)).gbits;
      const values: Record<string, number> = { calm };
      for (const size of FLOOD_SIZES) {
        const [to, from] = [bed.lab.node(2), bed.lab.node(1)];
        const flooder = await startFlood(from, to, { source: UNKNOWN, size, rate: FLOOD_RATE });
        values[`kept${size}`] = (await tcp(bed)).gbits / calm;
        await flooder.stop('SIGKILL');
        const [sent = 0, ms = 1] =
          /.*\b(\d+) sent in (\d+) ms/s.exec(flooder.stdout)?.slice(1).map(Number) ?? [];
        values[`rate${size}`] = sent / ms;
      }
      return values;
    }),
};

/** Small packets of a second pod of the same node, as many as it can send. */
const fairness: Figure = {
  name: 'fairness',
  runs: 5,
  metrics: [
    { key: 'kept', title: 'TCP share kept beside a pod that floods small packets', unit: '', better: 'more' },
    { key: 'alone', title: 'latency p50 of a pod', unit: 'µs', better: 'none' },
    { key: 'beside', title: 'latency p50 beside a pod with bulk TCP', unit: 'µs', better: 'less' },
    { key: 'beside999', title: 'latency p99.9 beside a pod with bulk TCP', unit: 'µs', better: 'less' },
  ],
  without: ['ovs', 'naive', 'proxy'],
  measure: (bed) =>
    withBoth(bed, async () => {
      const [here, there] = [bed.lab.node(1), bed.lab.node(2)];
      const [other, sink] = [await here.addPod(), await there.addPod()];
      const { seconds } = bed;
      const calm = (await tcp(bed)).gbits;
      const small = { seconds: seconds + 1, udpPayload: 64, port: 5301 };
      const [{ gbits }] = await Promise.all([tcp(bed), iperf(other, sink, small)]);
      const alone = await sockperf(other, sink, { seconds });
      const bulk = iperf(bed.lab.pod(1), bed.lab.pod(2), { seconds: seconds + 2 });
      const beside = await sockperf(other, sink, { seconds });
      await bulk;
      return { kept: gbits / calm, alone: alone.p50, beside: beside.p50, beside999: beside.p999 };
    }),
};

export const hostileFigures: readonly Figure[] = [flood, fairness];
