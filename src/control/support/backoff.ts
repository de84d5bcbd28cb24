/** Waiting longer after each failure, and not all nodes at the same moment. */

export class Backoff {
  private readonly firstMs: number;
  private readonly mostMs: number;
  private attempts = 0;

  constructor({ firstMs, mostMs }: { firstMs: number; mostMs: number }) {
    this.firstMs = firstMs;
    this.mostMs = mostMs;
  }

  /** Milliseconds to wait now: doubled with each call, less up to a half; never less than `leastMs`. */
  next(leastMs = 0): number {
    const longest = Math.min(this.mostMs, this.firstMs * 2 ** this.attempts++);
    return Math.max(longest * (1 - Math.random() / 2), leastMs * (1 + Math.random() / 4));
  }

  reset(): void {
    this.attempts = 0;
  }
}
