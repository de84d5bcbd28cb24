/** Limits the share of time that a repeated task may take while its cause goes on. */

import { setTimeout as delay } from 'node:timers/promises';

/** A run of 50 ms is followed by a pause of 950 ms, so that a task takes at most a twentieth of the time. */
const SHARE = 20;
/** The longest pause. */
const MOST_MS = 500;

export class Pace {
  private readonly clock: { now(): number };
  private notBefore = 0;

  /** `clock` returns monotonic milliseconds. */
  constructor(clock: { now(): number } = performance) {
    this.clock = clock;
  }

  /** Runs the task, and computes the pause from its duration. */
  async run<T>(task: () => Promise<T>): Promise<T> {
    const begun = this.clock.now();
    try {
      return await task();
    } finally {
      const ended = this.clock.now();
      this.notBefore = ended + Math.min(MOST_MS, (SHARE - 1) * (ended - begun));
    }
  }

  /** The milliseconds until the next run; 0 after a quiet time, so that a single change is never delayed. */
  get pauseMs(): number {
    return Math.max(0, this.notBefore - this.clock.now());
  }

  /** Waits until the next run, or until the signal is aborted. */
  async wait(signal?: AbortSignal): Promise<void> {
    const pause = this.pauseMs;
    if (pause > 0) await delay(pause, undefined, { ref: false, ...(signal && { signal }) }).catch(() => {});
  }
}
