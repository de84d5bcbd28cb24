/** The metrics of the dataplane's counters. Each counter is in exactly one metric. */

import type { Labels, MetricsPage, Sample } from './page.js';

/** The counters of one overlay device. */
export interface DeviceCounters {
  device: string;
  counters: Readonly<Record<string, number>>;
}

interface CounterMetric {
  name: string;
  help: string;
  /** The counters, and the labels that distinguish them. */
  counters: Readonly<Record<string, Labels>>;
}

const TX = { direction: 'tx' };
const RX = { direction: 'rx' };

/** The metrics of all counters except those of drops. */
const METRICS: readonly CounterMetric[] = [
  {
    name: 'weft_packets_total',
    help: 'Packets that were forwarded, the fast path included. A superpacket counts as its segments.',
    counters: { tx_packets: TX, rx_packets: RX },
  },
  {
    name: 'weft_bytes_total',
    help: 'Bytes of these packets, without the headers of the tunnel.',
    counters: { tx_bytes: TX, rx_bytes: RX },
  },
  {
    name: 'weft_fast_path_packets_total',
    help: 'Packets that the fast path forwarded.',
    counters: { fast_tx_packets: TX, fast_rx_packets: RX },
  },
  {
    name: 'weft_fast_path_bytes_total',
    help: 'Bytes that the fast path forwarded.',
    counters: { fast_tx_bytes: TX, fast_rx_bytes: RX },
  },
  {
    name: 'weft_icmp_errors_sent_total',
    help: 'ICMP errors to the sources of dropped packets (udp backend).',
    counters: { tx_icmp_sent: TX, rx_icmp_sent: RX },
  },
  {
    name: 'weft_receive_errors_total',
    help: 'Receive calls of device (tx) and socket (rx) that failed.',
    counters: { tx_receive_errors: TX, rx_receive_errors: RX },
  },
  {
    name: 'weft_gso_runs_total',
    help: 'GSO runs that were sent to peers.',
    counters: { tx_trains: {} },
  },
  {
    name: 'weft_gso_runs_replayed_total',
    help: 'GSO runs that the kernel refused and Weft sent again as single datagrams.',
    counters: { tx_trains_replayed: {} },
  },
  {
    name: 'weft_superpackets_received_total',
    help: 'Superpackets that arrived from a peer.',
    counters: { rx_superpackets: {} },
  },
  {
    name: 'weft_superpackets_replayed_total',
    help: 'Superpackets that the device refused and Weft wrote packet by packet.',
    counters: { rx_superpackets_replayed: {} },
  },
  {
    name: 'weft_coalesced_segments_total',
    help: 'Segments that Weft joined to superpackets for the device.',
    counters: { rx_coalesced: {} },
  },
  {
    name: 'weft_partial_checksums_total',
    help: 'Checksums that a virtual link left partial and Weft completed.',
    counters: { rx_partial_checksums: {} },
  },
  {
    name: 'weft_reserved_header_packets_total',
    help: 'Packets whose VXLAN header has reserved bits.',
    counters: { rx_reserved_bits: {} },
  },
  {
    name: 'weft_group_policy_packets_total',
    help: 'Packets with a group policy in the VXLAN header.',
    counters: { rx_group_policy: {} },
  },
  {
    name: 'weft_offload_step_downs_total',
    help: 'Directions of workers that fell back to single packets.',
    counters: { offload_step_downs: {} },
  },
  {
    name: 'weft_worker_restarts_total',
    help: 'Forwarding threads that failed or did not answer, and were replaced.',
    counters: { worker_restarts: {} },
  },
];

const DROP = /^(tx|rx)_drop_(.+)$/;

/** Adds the metrics of all counters. */
export function addCounters(page: MetricsPage, devices: readonly DeviceCounters[]): void {
  for (const { name, help, counters } of METRICS) {
    const samples = devices.flatMap(({ device, counters: values }) =>
      Object.entries(counters).map(
        ([counter, labels]): Sample => [{ device, ...labels }, values[counter] ?? 0],
      ),
    );
    page.counter(name, help, samples);
  }
  const drops = devices.flatMap(({ device, counters }) =>
    Object.entries(counters).flatMap(([counter, value]): Sample[] => {
      const [, direction, reason] = DROP.exec(counter) ?? [];
      return direction === undefined || reason === undefined ? [] : [[{ device, direction, reason }, value]];
    }),
  );
  page.counter('weft_dropped_packets_total', 'Packets that were dropped, each under one reason.', drops);
}
