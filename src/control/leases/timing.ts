/** Times that the Kubernetes and the etcd source share; tests shorten them. */
export interface SourceTiming {
  /** Waits between two attempts to list or watch: the first, and the longest. */
  backoff: { firstMs: number; mostMs: number };
  /** Shorter outages are not reported. */
  graceMs: number;
  /** Changes within this time are delivered as one set. */
  collectMs: number;
  /** Longest wait for an answer. */
  answerMs: number;
}
