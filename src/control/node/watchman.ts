/**
 * Sees to it that the node stays as it should be: looks after a change of something that is ours, and every half a minute
 * whatever happens (sysctls change without a word).
 */

import { warn } from '../log.js';
import { Monitor } from '../network/monitor.js';

/** Changes come in bursts; the look comes once the first of them is so old. */
const SETTLE_MS = 150;
const PERIOD_MS = 30_000;
/** When to look for what happened before `ip monitor` listened, which it does not announce. */
const LISTENING_MS = 1000;

export interface Watched {
  /** True when a line of `ip monitor` may tell of something that is ours. */
  concerns(line: string): boolean;
  check(): Promise<void>;
}

export class Watchman {
  private readonly watched: Watched;
  private readonly monitor: Monitor;
  private readonly period: NodeJS.Timeout;
  private readonly first: NodeJS.Timeout;
  private soon: NodeJS.Timeout | undefined;
  private checking: Promise<void> = Promise.resolve();

  constructor(watched: Watched) {
    this.watched = watched;
    this.monitor = new Monitor((line) => {
      if (this.watched.concerns(line)) this.look();
    });
    this.first = setTimeout(() => this.look(), LISTENING_MS);
    this.period = setInterval(() => this.look(), PERIOD_MS);
  }

  close(): void {
    this.monitor.close();
    clearInterval(this.period);
    clearTimeout(this.first);
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
