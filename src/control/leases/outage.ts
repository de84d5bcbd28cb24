/** A lease source that cannot be reached: logged at once, once a minute while it lasts, and once when it ends. */

import { info, verbose, warn } from '../support/log.js';

export interface OutageTimes {
  /** A shorter outage does not make the node not ready; 0 by default. */
  graceMs?: number;
  /** A shorter outage is not logged; 0 by default. */
  quietMs?: number;
}

/** Pause between two log lines of one outage. */
const REMIND_MS = 60_000;

export class Outage {
  private readonly times: Required<OutageTimes>;
  private since = 0;
  private loggedAt: number | undefined;
  private loggedKind: string | number | undefined;
  private reason: string | null = null;

  constructor(times: OutageTimes = {}) {
    this.times = { graceMs: 0, quietMs: 0, ...times };
  }

  /** Why the source cannot be reached; null when it is reached, or the outage is shorter than the grace period. */
  get notReady(): string | null {
    return this.reason !== null && this.lastedMs() >= this.times.graceMs ? this.reason : null;
  }

  /** Begins or continues the outage. A reason of another `kind` is logged at once. */
  report(reason: string, kind: string | number = ''): void {
    if (this.reason === null) this.since = performance.now();
    this.reason = reason;
    if (this.lastedMs() < this.times.quietMs) return;
    const now = performance.now();
    const isRecent = this.loggedAt !== undefined && now - this.loggedAt < REMIND_MS;
    if (isRecent && this.loggedKind === kind) {
      verbose(2, reason);
      return;
    }
    this.loggedKind = kind;
    this.loggedAt = now;
    warn(reason);
  }

  /** Ends the outage; logs `message` if the outage was logged. */
  end(message: string): void {
    if (this.loggedAt !== undefined) info(message);
    this.reason = null;
    this.loggedAt = undefined;
    this.loggedKind = undefined;
  }

  private lastedMs(): number {
    return performance.now() - this.since;
  }
}
