/** Decides when a check runs: after an event that affects Weft, after drift of a sysctl, and periodically. */

import { type KernelEvent, Monitor } from '../kernel/monitor.js';
import { warn } from '../support/log.js';
import { Once } from '../support/once.js';
import { Serial } from '../support/serial.js';

/** Events come in bursts: a check starts this long after the first one. */
const SETTLE_MS = 150;
const PERIOD_MS = 30_000;
/** Interval of polling the sysctls, for which the kernel sends no event. */
const POLL_MS = 1000;
/**
 * Delay of a second check after an event, because unexpected entries have a grace period. It also follows a failed
 * check and a start of `ip monitor`, which reports nothing older.
 */
const RECHECK_MS = 1200;

export interface Monitored {
  /** Returns whether an event may affect an object of Weft. */
  affects(event: KernelEvent): boolean;
  /** Whether something has drifted for which the kernel sends no event; cheap to read. */
  readonly hasDrift: boolean;
  check(): Promise<void>;
}

export class DriftMonitor {
  private readonly monitored: Monitored;
  private readonly monitor: Monitor;
  private readonly period: NodeJS.Timeout;
  private readonly poll: NodeJS.Timeout;
  private readonly recheck: NodeJS.Timeout;
  private scheduled: NodeJS.Timeout | undefined;
  private readonly checks = new Serial();
  private readonly failure = new Once();
  private closed = false;

  constructor(monitored: Monitored) {
    this.monitored = monitored;
    this.recheck = setTimeout(() => this.schedule(), RECHECK_MS);
    this.monitor = new Monitor({
      onStart: () => this.recheck.refresh(),
      onEvent: (event) => {
        if (!this.monitored.affects(event)) return;
        this.schedule();
        this.recheck.refresh();
      },
    });
    this.period = setInterval(() => this.schedule(), PERIOD_MS);
    this.poll = setInterval(() => {
      if (this.monitored.hasDrift) this.schedule();
    }, POLL_MS);
  }

  close(): void {
    this.closed = true;
    this.monitor.close();
    clearInterval(this.period);
    clearInterval(this.poll);
    clearTimeout(this.recheck);
    clearTimeout(this.scheduled);
  }

  private schedule(): void {
    this.scheduled ??= setTimeout(() => void this.checks.run(() => this.check()), SETTLE_MS);
  }

  private async check(): Promise<void> {
    this.scheduled = undefined;
    try {
      await this.monitored.check();
      this.failure.clear();
    } catch (error) {
      if (this.closed) return;
      this.failure.log((error as Error).message, warn);
      this.recheck.refresh();
    }
  }
}
