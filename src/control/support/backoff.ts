/** Waits that double after each failure. */

export interface BackoffOptions {
  firstMs: number;
  mostMs: number;
  /** Whether each wait is shortened at random, so that nodes do not retry in step; true by default. */
  jitter?: boolean;
}

export class Backoff {
  private readonly options: Required<BackoffOptions>;
  private attempts = 0;

  constructor(options: BackoffOptions) {
    this.options = { jitter: true, ...options };
  }

  /**
   * Returns the milliseconds to wait now: twice the wait before, up to `mostMs`, and at least `leastMs`. With jitter, up to
   * half of the wait is subtracted and up to a quarter of `leastMs` is added.
   */
  next(leastMs = 0): number {
    const { firstMs, mostMs, jitter } = this.options;
    const waitMs = Math.min(mostMs, firstMs * 2 ** this.attempts++);
    if (!jitter) return Math.max(waitMs, leastMs);
    return Math.max(waitMs * (1 - Math.random() / 2), leastMs * (1 + Math.random() / 4));
  }

  /** Makes the next wait the first one again. */
  reset(): void {
    this.attempts = 0;
  }
}
