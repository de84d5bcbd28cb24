/** Decides when a check runs: after an event that affects Weft, after drift of a sysctl, and periodically. */

import { releaseGarbage } from '../../sys/heap.js';
import { Monitor } from '../kernel/monitor.js';
import { Once } from '../support/once.js';
import { Serial } from '../support/serial.js';
import type { FamilyTunnel } from './family-tunnel.js';
import type { UnderlayFollower } from './underlay-follower.js';

/** Events come in bursts: a check starts this long after the first one. */
const SETTLE_MS = 150;
const PERIOD_MS = 30_000;
/** Interval of polling the sysctls, for which the kernel sends no event, and of looking for a missing underlay. */
const POLL_MS = 1000;
/**
 * Delay of a second check after an event, because unexpected entries have a grace period. It also follows a failed
 * check and a start of `ip monitor`, which reports nothing older.
 */
const RECHECK_MS = 1200;

export class DriftMonitor {
  private readonly tunnels: readonly FamilyTunnel[];
  private readonly underlay: UnderlayFollower;
  private readonly monitor: Monitor;
  private readonly period: NodeJS.Timeout;
  private readonly poll: NodeJS.Timeout;
  private readonly recheck: NodeJS.Timeout;
  private scheduled: NodeJS.Timeout | undefined;
  private readonly checks = new Serial();
  private readonly failure = new Once();
  private closed = false;
  private isPaused = false;

  constructor(tunnels: readonly FamilyTunnel[], underlay: UnderlayFollower) {
    this.tunnels = tunnels;
    this.underlay = underlay;
    this.recheck = setTimeout(() => this.schedule(), RECHECK_MS);
    this.monitor = new Monitor({
      onStart: () => this.recheck.refresh(),
      onEvent: (event) => {
        for (const { fastPath } of tunnels) fastPath.follow(event);
        if (!underlay.parts.tracker.affects(event) && !tunnels.some((tunnel) => tunnel.affects(event)))
          return;
        if (!tunnels.some((tunnel) => tunnel.peers.expects(event))) this.schedule();
        this.recheck.refresh();
      },
    });
    this.period = setInterval(() => {
      this.schedule();
      releaseGarbage();
    }, PERIOD_MS);
    this.poll = setInterval(() => {
      for (const tunnel of tunnels) {
        tunnel.reportDamage();
        if (!this.isPaused) void tunnel.pollFastPath();
      }
      if (
        underlay.waits ||
        tunnels.some(({ fastPath }) => fastPath.waits) ||
        tunnels.some(({ device }) => device.sysctls.hasDrift)
      )
        this.schedule();
    }, POLL_MS);
  }

  /** How often `ip monitor` ended and was started again. */
  get monitorRestarts(): number {
    return this.monitor.restarts;
  }

  /** Ends the checks; a running one ends first. */
  async close(): Promise<void> {
    this.closed = true;
    this.monitor.close();
    clearInterval(this.period);
    clearInterval(this.poll);
    clearTimeout(this.recheck);
    clearTimeout(this.scheduled);
    await this.checks.idle();
  }

  /** Whether another process repairs drift now. The end of a pause starts a check, because events in it were not followed. */
  get paused(): boolean {
    return this.isPaused;
  }

  set paused(paused: boolean) {
    this.isPaused = paused;
    if (!paused) this.schedule();
  }

  private schedule(): void {
    if (this.closed) return;
    this.scheduled ??= setTimeout(() => void this.checks.run(() => this.check()), SETTLE_MS);
  }

  /** Checks all families, each even if another one fails. */
  private async check(): Promise<void> {
    this.scheduled = undefined;
    if (this.closed || this.isPaused) return;
    // The underlay comes first: the checks use its present state.
    const followed = await Promise.allSettled([this.underlay.follow()]);
    const checked = await Promise.allSettled(this.tunnels.map((tunnel) => tunnel.check()));
    const failed = [...followed, ...checked].find((result) => result.status === 'rejected');
    if (failed === undefined) this.failure.clear();
    else if (!this.closed) {
      this.failure.log((failed.reason as Error).message);
      this.recheck.refresh();
    }
  }
}
