/**
 * The counters of the dataplane. Workers write and control reads without locks: each worker alone adds to its own row of
 * doubles in shared memory. A double is exact to 2^53, and a 64-bit machine reads and writes it as a whole.
 *
 * The names are part of `weft status --json`. `tx` means overlay to underlay, `rx` the other direction. Every dropped
 * packet counts under exactly one `_drop_` name. `_icmp_sent` counts error messages to the sources of dropped packets.
 */

import type { PeerCounts } from './tunnel/peer-counts.js';

/** Counters that workers keep. */
export const COUNTER_NAMES = [
  'tx_packets',
  'tx_bytes',
  'tx_drop_runt',
  'tx_drop_not_ipv4',
  'tx_drop_bad_length',
  'tx_drop_multicast',
  'tx_drop_unknown_mac',
  'tx_drop_no_route',
  'tx_drop_ttl',
  'tx_drop_unreachable',
  'tx_drop_socket_full',
  'tx_drop_send_error',
  'tx_drop_unsegmentable',
  'tx_drop_backlog_full',
  'tx_trains',
  'tx_trains_replayed',
  'tx_icmp_sent',
  'tx_receive_errors',
  'rx_packets',
  'rx_bytes',
  'rx_drop_runt',
  'rx_drop_not_ipv4',
  'rx_drop_bad_length',
  'rx_drop_truncated',
  'rx_drop_no_vni_flag',
  'rx_drop_unknown_vni',
  'rx_drop_unknown_vtep',
  'rx_drop_wrong_source_mac',
  'rx_drop_not_our_mac',
  'rx_drop_wrong_source',
  'rx_drop_ttl',
  'rx_drop_ecn',
  'rx_drop_device_full',
  'rx_drop_device_refused',
  'rx_drop_unsegmentable',
  'rx_reserved_bits',
  'rx_group_policy',
  'rx_superpackets',
  'rx_superpackets_replayed',
  'rx_coalesced',
  'rx_partial_checksums',
  'rx_icmp_sent',
  'rx_receive_errors',
  'offload_step_downs',
] as const;

export type CounterName = (typeof COUNTER_NAMES)[number];

type CounterIndex = { readonly [name in CounterName]: number };

/** Counters that the kernel keeps (io/overflows.ts, io/socket-drops.ts). */
export type OverflowName =
  | 'rx_drop_socket_overflow'
  | 'rx_drop_checksum'
  | 'rx_drop_filtered'
  | 'tx_drop_device_overflow';

/** Counters of the fast path. `tx_packets` and its like include them. */
export type FastPathName = 'fast_tx_packets' | 'fast_tx_bytes' | 'fast_rx_packets' | 'fast_rx_bytes';

/** All counters of a dataplane. `worker_restarts` counts forwarding threads that were replaced (worker/threads.ts). */
export type Counters = Record<CounterName | OverflowName | FastPathName | 'worker_restarts', number>;

/** The index of each counter in a row. */
export const COUNTER: CounterIndex = Object.fromEntries(
  COUNTER_NAMES.map((name, index) => [name, index]),
) as CounterIndex;

/** A worker's row, indexed by COUNTER. The load of the worker follows (load.ts). */
export type CounterRow = Float64Array;

/** Returns the sum of all rows, counter by counter. */
export function sumCounters(rows: readonly CounterRow[]): Record<CounterName, number> {
  const total = {} as Record<CounterName, number>;
  for (const name of COUNTER_NAMES) {
    let sum = 0;
    for (const row of rows) sum += row[COUNTER[name]];
    total[name] = sum;
  }
  return total;
}

/** Adds the packets of the fast path, and its share. */
export function withFastPath(
  sums: Record<CounterName, number>,
  fast: PeerCounts,
): Record<CounterName | FastPathName, number> {
  return {
    ...sums,
    tx_packets: sums.tx_packets + fast.txPackets,
    tx_bytes: sums.tx_bytes + fast.txBytes,
    rx_packets: sums.rx_packets + fast.rxPackets,
    rx_bytes: sums.rx_bytes + fast.rxBytes,
    fast_tx_packets: fast.txPackets,
    fast_tx_bytes: fast.txBytes,
    fast_rx_packets: fast.rxPackets,
    fast_rx_bytes: fast.rxBytes,
  };
}

/** Returns how many datagrams the peer check has refused. */
export function refusedIn(counters: CounterRow): number {
  return (
    counters[COUNTER.rx_drop_unknown_vtep] +
    counters[COUNTER.rx_drop_wrong_source_mac] +
    counters[COUNTER.rx_drop_wrong_source]
  );
}

/** Returns how many datagrams were refused for anything that an unknown sender may send. */
export function strangeIn(counters: CounterRow): number {
  return (
    refusedIn(counters) +
    counters[COUNTER.rx_drop_runt] +
    counters[COUNTER.rx_drop_no_vni_flag] +
    counters[COUNTER.rx_drop_unknown_vni] +
    counters[COUNTER.rx_drop_not_ipv4] +
    counters[COUNTER.rx_drop_bad_length]
  );
}
