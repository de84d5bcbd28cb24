/**
 * Sees to it that the node stays as it should be: looks after a change of something that is ours, and every half a minute
 * whatever happens (sysctls change without a word).
 */

import { warn } from '../log.js';
import { Monitor } from '../network/monitor.js';

/** Changes come in bursts; the look comes once the first of them is so old. */
const SETTLE_MS = 150;
const PERIOD_MS = 30_000;
/**
 * When to look again after a change, for what is given time; and for the first time, for what happened before `ip monitor`
 * listened, which it does not announce.
 */
const AGAIN_MS = 1200;

export interface Watched {
  /** True when a line of `ip monitor` may tell of something that is ours. */
  concerns(line: string): boolean;
  check(): Promise<void>;
}

export class Watchman {
  private readonly watched: Watched;
  private readonly monitor: Monitor;
  private readonly period: NodeJS.Timeout;
  private readonly again: NodeJS.Timeout;
  private soon: NodeJS.Timeout | undefined;
  private checking: Promise<void> = Promise.resolve();

  constructor(watched: Watched) {
    this.watched = watched;
    this.again = setTimeout(() => this.look(), AGAIN_MS);
    this.monitor = new Monitor((line) => {
      if (!this.watched.concerns(line)) return;
      this.look();
      this.again.refresh();
    });
    this.period = setInterval(() => this.look(), PERIOD_MS);
  }

  close(): void {
    this.monitor.close();
    clearInterval(this.period);
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
        .catch((error: Error) => warn(error.message));
    }, SETTLE_MS);
  }
}
