/** The names of all counters of a dataplane; the compiler finds a name that is missing here. */

import { COUNTER_NAMES, type CounterName, type Counters } from '../../src/dataplane/counters.js';

const OTHERS: Record<Exclude<keyof Counters, CounterName>, true> = {
  rx_drop_socket_overflow: true,
  rx_drop_checksum: true,
  rx_drop_filtered: true,
  tx_drop_device_overflow: true,
  fast_tx_packets: true,
  fast_tx_bytes: true,
  fast_rx_packets: true,
  fast_rx_bytes: true,
  worker_restarts: true,
};

export const ALL_COUNTERS: readonly string[] = [...COUNTER_NAMES, ...Object.keys(OTHERS)];
export const DROP_COUNTERS = ALL_COUNTERS.filter((name) => name.includes('_drop_'));
