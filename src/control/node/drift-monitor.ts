/**
 * Sees to it that the node stays as it should be: looks after a change of something that is ours, and every half a minute
 * whatever happens.
 */

import { type Change, Monitor } from '../kernel/monitor.js';
import { warn } from '../support/log.js';

/** Changes come in bursts; the look comes once the first of them is so old. */
const SETTLE_MS = 150;
const PERIOD_MS = 30_000;
/** How often to ask for what changes without a word: sysctls. */
const GLANCE_MS = 1000;
/**
 * When to look again: after a change, for what is given time; after a look that failed; and after `ip monitor` was started,
 * for what happened before it listened.
 */
const AGAIN_MS = 1200;

export interface Watched {
  /** True when a change may be of something that is ours. */
  concerns(change: Change): boolean;
  /** True when something deviates that `ip monitor` does not tell of; cheap to ask. */
  readonly deviates: boolean;
  check(): Promise<void>;
}

export class Watchman {
  private readonly watched: Watched;
  private readonly monitor: Monitor;
  private readonly period: NodeJS.Timeout;
  private readonly glance: NodeJS.Timeout;
  private readonly again: NodeJS.Timeout;
  private soon: NodeJS.Timeout | undefined;
  private checking: Promise<void> = Promise.resolve();
  /** What was last said of a look that failed, so as to say it once. */
  private complaint: string | undefined;
  private closed = false;

  constructor(watched: Watched) {
    this.watched = watched;
    this.again = setTimeout(() => this.look(), AGAIN_MS);
    this.monitor = new Monitor({
      onStart: () => this.again.refresh(),
      onChange: (change) => {
        if (!this.watched.concerns(change)) return;
        this.look();
        this.again.refresh();
      },
    });
    this.period = setInterval(() => this.look(), PERIOD_MS);
    this.glance = setInterval(() => {
      if (this.watched.deviates) this.look();
    }, GLANCE_MS);
  }

  close(): void {
    this.closed = true;
    this.monitor.close();
    clearInterval(this.period);
    clearInterval(this.glance);
    clearTimeout(this.again);
    clearTimeout(this.soon);
  }

  private look(): void {
    this.soon ??= setTimeout(() => {
      this.checking = this.checking
        .then(() => {
          this.soon = undefined;
          return this.watched.check();
        })
        .then(() => {
          this.complaint = undefined;
        })
        .catch(({ message }: Error) => {
          if (this.closed) return;
          if (message !== this.complaint) warn(message);
          this.complaint = message;
          this.again.refresh();
        });
    }, SETTLE_MS);
  }
}
