import type { SourceTiming } from '../timing.js';

/** Longest pause at the start while the API server cannot be reached. */
export const UNREACHABLE_MOST_MS = 1000;

export interface KubernetesTiming extends SourceTiming {
  /** A watch of at least this length resets the back-off. */
  steadyMs: number;
  /** Range of the watch's timeoutSeconds, drawn at random; client-go draws from 5 to 10 minutes. */
  watchSeconds: { least: number; most: number };
  /** A watch that is silent for its timeoutSeconds and this long is half open. */
  watchSlackMs: number;
  /** A watch of at least this length without event or bookmark may start at a version that the server never had. */
  emptyWatchMs: number;
  /** Least time between two patches. */
  patchPauseMs: number;
  /** Time between two attempts to publish the lease, and time for all attempts. */
  acquireRetryMs: number;
  acquireMs: number;
  /** Nodes in one page of a list: about 0.6 MB of text (docs/decisions/0010). */
  pageSize: number;
}

export const KUBERNETES_TIMING: KubernetesTiming = {
  backoff: { firstMs: 200, mostMs: 30_000 },
  graceMs: 3000,
  collectMs: 50,
  answerMs: 30_000,
  steadyMs: 10_000,
  watchSeconds: { least: 300, most: 600 },
  watchSlackMs: 15_000,
  emptyWatchMs: 120_000,
  patchPauseMs: 1000,
  acquireRetryMs: 3000,
  acquireMs: 30_000,
  pageSize: 50,
};
