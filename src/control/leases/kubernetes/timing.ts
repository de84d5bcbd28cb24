/** How long things take; tests are quicker. Milliseconds, but for the watch's own length. */

export interface Timing {
  /** Waits between two attempts to reach the API server: the first, and the longest. */
  backoff: { firstMs: number; mostMs: number };
  /** A watch that lasted this long was a good one: the next attempt is a first one again. */
  steadyMs: number;
  /** Loss that is over before this is not talked about. */
  graceMs: number;
  /** No byte of an answer for this long: the request has failed. */
  silenceMs: number;
  /** The watch's timeoutSeconds is drawn from `least` to `most`, as client-go's is between 5 and 10 minutes. */
  watchSeconds: { least: number; most: number };
  /** How much longer than that a watch is waited for: its connection may be half open. */
  watchSlackMs: number;
  /** A watch of at least this length without event or bookmark may follow a version the server never had. */
  emptyWatchMs: number;
  /** Events of this long make one set. */
  collectMs: number;
  /** At least this much from one patch to the next. */
  patchPauseMs: number;
  /** Getting the lease: between two attempts, and all in all. */
  acquireRetryMs: number;
  acquireMs: number;
  /** Nodes in one page of a list: some 0.6 MB of text, most of it garbage at once (docs/decisions/0010). */
  pageSize: number;
}

export const TIMING: Timing = {
  backoff: { firstMs: 200, mostMs: 30_000 },
  steadyMs: 10_000,
  graceMs: 3000,
  silenceMs: 30_000,
  watchSeconds: { least: 300, most: 600 },
  watchSlackMs: 15_000,
  emptyWatchMs: 120_000,
  collectMs: 50,
  patchPauseMs: 1000,
  acquireRetryMs: 3000,
  acquireMs: 30_000,
  pageSize: 50,
};
