/** A retry with growing pauses. */

import { Backoff, type BackoffOptions } from './backoff.js';

export class Retry {
  private readonly action: () => void;
  private readonly pauses: Backoff;
  private timer: NodeJS.Timeout | undefined;

  /** `action` runs at the end of each pause. */
  constructor(pauses: BackoffOptions, action: () => void) {
    this.pauses = new Backoff(pauses);
    this.action = action;
  }

  /** Schedules the action, replaces an earlier schedule, and returns the pause in ms. */
  schedule(): number {
    this.cancel();
    const pause = this.pauses.next();
    this.timer = setTimeout(this.action, pause);
    return pause;
  }

  cancel(): void {
    clearTimeout(this.timer);
  }

  /** Cancels a scheduled action, and makes the next pause the first one again. */
  reset(): void {
    this.cancel();
    this.pauses.reset();
  }
}
