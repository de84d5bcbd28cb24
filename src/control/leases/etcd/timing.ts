import type { SourceTiming } from '../timing.js';

export interface EtcdTiming extends SourceTiming {
  /** Time to live of this node's lease, in seconds; flannel's 24 h. */
  leaseTtlS: number;
  /** Time before its end at which the lease is renewed; by default --subnet-lease-renew-margin. */
  marginMs: number;
  /** Pause after a failed renewal, and least time between two puts of the own key. */
  renewRetryMs: number;
  /** Time between two attempts to reach etcd, or to find a configuration in it, at the start; flannel's 1 s. */
  retryMs: number;
}

export const ETCD_TIMING: Omit<EtcdTiming, 'marginMs'> = {
  backoff: { firstMs: 100, mostMs: 5000 },
  graceMs: 3000,
  collectMs: 50,
  answerMs: 3000,
  leaseTtlS: 86_400,
  renewRetryMs: 60_000,
  retryMs: 1000,
};
