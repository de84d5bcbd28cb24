/** How long things take with etcd; tests shorten them. */

export interface Timings {
  /** Of this node's lease, in seconds; flannel's 24 h. */
  leaseTtlS: number;
  /** How long before its end the lease is renewed; undefined: as --subnet-lease-renew-margin says. */
  marginMs: number | undefined;
  /** After a renewal that failed, and from one put of the own key to the next. */
  renewAgainMs: number;
  /** Between two looks for an etcd, or a configuration in it, that was not there; flannel's 1 s. */
  lookEveryMs: number;
  /** An etcd that is away is spoken of so often. */
  sayEveryMs: number;
  /** A watch that is lost for less is no trouble. */
  troubleAfterMs: number;
  /** Changes that come together are handed over as one set. */
  collectMs: number;
  /** The longest that one endpoint is waited for. */
  answerMs: number;
  /** Between two attempts to watch: the first wait, doubling up to the last. */
  reconnect: { firstMs: number; mostMs: number };
}

export const TIMINGS: Timings = {
  leaseTtlS: 86_400,
  marginMs: undefined,
  renewAgainMs: 60_000,
  lookEveryMs: 1000,
  sayEveryMs: 60_000,
  troubleAfterMs: 3000,
  collectMs: 50,
  answerMs: 3000,
  reconnect: { firstMs: 100, mostMs: 5000 },
};
