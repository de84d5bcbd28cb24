/** Figures of plain traffic: TCP, UDP, latency. */

import { iperf } from '../../lab/traffic/iperf.js';
import { sockperf } from '../../lab/traffic/sockperf.js';
import { type Bed, type Figure, withBoth } from './figure.js';

const run = (bed: Bed, options: Parameters<typeof iperf>[2]) =>
  withBoth(bed, () => iperf(bed.lab.pod(1), bed.lab.pod(2), { seconds: bed.seconds, ...options }));

const tcp1: Figure = {
  name: 'tcp1',
  metrics: [
    { key: 'gbits', title: 'TCP 1 stream', unit: 'Gbit/s', better: 'more' },
    { key: 'retransmits', title: 'TCP 1 stream, retransmits', unit: '', better: 'none' },
  ],
  async measure(bed) {
    const { gbits, retransmits } = await run(bed, {});
    return { gbits, retransmits };
  },
};

const tcp4: Figure = {
  name: 'tcp4',
  metrics: [
    { key: 'gbits', title: 'TCP 4 streams', unit: 'Gbit/s', better: 'more' },
    { key: 'retransmits', title: 'TCP 4 streams, retransmits', unit: '', better: 'none' },
  ],
  async measure(bed) {
    const { gbits, retransmits } = await run(bed, { streams: 4 });
    return { gbits, retransmits };
  },
};

const bidir: Figure = {
  name: 'bidir',
  metrics: [
    { key: 'gbits', title: 'TCP in both directions at once, sum', unit: 'Gbit/s', better: 'more' },
    { key: 'weaker', title: 'TCP in both directions, the slower one', unit: 'Gbit/s', better: 'none' },
  ],
  async measure(bed) {
    const { gbits, gbitsBack = 0 } = await run(bed, { bidirectional: true });
    return { gbits: gbits + gbitsBack, weaker: Math.min(gbits, gbitsBack) };
  },
};

const small: Figure = {
  name: 'small',
  metrics: [
    { key: 'rate', title: 'UDP 64 B delivered', unit: 'k/s', better: 'more' },
    { key: 'loss', title: 'UDP 64 B loss', unit: '%', better: 'none' },
  ],
  async measure(bed) {
    const { received, sent, seconds } = await run(bed, { udpPayload: 64 });
    return { rate: received / seconds / 1000, loss: (100 * (sent - received)) / sent };
  },
};

const udp: Figure = {
  name: 'udp',
  metrics: [
    { key: 'gbits', title: 'UDP 1400 B delivered', unit: 'Gbit/s', better: 'more' },
    { key: 'loss', title: 'UDP 1400 B loss', unit: '%', better: 'none' },
  ],
  async measure(bed) {
    const { gbits, received, sent } = await run(bed, { udpPayload: 1400 });
    return { gbits, loss: (100 * (sent - received)) / sent };
  },
};

const latency: Figure = {
  name: 'latency',
  metrics: [
    { key: 'p50', title: 'latency p50', unit: 'µs', better: 'less' },
    { key: 'p99', title: 'latency p99', unit: 'µs', better: 'less' },
    { key: 'p999', title: 'latency p99.9', unit: 'µs', better: 'less' },
  ],
  async measure(bed) {
    const { p50, p99, p999 } = await withBoth(bed, () =>
      sockperf(bed.lab.pod(1), bed.lab.pod(2), { seconds: bed.seconds }),
    );
    return { p50, p99, p999 };
  },
};

export const trafficFigures: readonly Figure[] = [tcp1, tcp4, bidir, small, udp, latency];
