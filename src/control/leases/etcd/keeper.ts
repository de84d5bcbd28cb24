/** Keeps this node's key alive: renews its lease, follows what others make of it, tells when it is gone. */

import { error, info } from '../../log.js';
import type { OwnKey } from './acquire.js';
import { goDuration } from './go-duration.js';
import { parseLeaseValue } from './lease-value.js';
import type { KeyValue } from './protocol.js';
import type { Registry } from './registry.js';

export interface KeeperTimes {
  ttlS: number;
  /** How long before its end a lease is renewed. */
  marginMs: number;
  /** After a failure; and the least time between two puts, whoever else puts the key. */
  againMs: number;
}

export class Keeper {
  private readonly registry: Registry;
  private readonly own: OwnKey;
  private readonly times: KeeperTimes;
  private readonly onGone: () => void;
  private timer: NodeJS.Timeout | undefined;
  /** One thing after the other: a renewal's own event may come before its answer. */
  private work: Promise<void> = Promise.resolve();
  private putAt = performance.now();
  private stopped = false;

  /** @param onGone the key is no longer this node's; called once */
  constructor(registry: Registry, own: OwnKey, times: KeeperTimes, onGone: () => void) {
    this.registry = registry;
    this.own = own;
    this.times = times;
    this.onGone = onGone;
  }

  start(): void {
    this.schedule();
  }

  stop(): void {
    this.stopped = true;
    clearTimeout(this.timer);
  }

  /** The key as it is now, by an event or a list. */
  seen(kv: KeyValue): void {
    this.work = this.work.then(async () => {
      if (!this.stopped && kv.modRevision.greaterThan(this.own.revision)) await this.follow(kv);
    });
  }

  /** The key was deleted or has expired. */
  gone(): void {
    if (this.stopped) return;
    this.stop();
    this.onGone();
  }

  private schedule(): void {
    const { permanent, expiresAt } = this.own;
    clearTimeout(this.timer);
    if (permanent) return;
    const wait = Math.max(0, expiresAt - this.times.marginMs - Date.now());
    info(`Waiting for ${goDuration(wait)} to renew lease`);
    this.renewIn(wait);
  }

  private renewIn(ms: number): void {
    clearTimeout(this.timer);
    if (this.stopped) return;
    this.timer = setTimeout(() => {
      this.work = this.work.then(() => this.renew());
    }, ms);
    this.timer.unref();
  }

  private async renew(): Promise<void> {
    if (this.stopped) return;
    const { own, times, registry } = this;
    this.putAt = performance.now();
    const expiresAt = Date.now() + times.ttlS * 1000;
    try {
      const ttl = own.permanent ? 'permanent' : times.ttlS;
      const revision = await registry.update(own.name, own.value, ttl, own.revision);
      if (revision !== undefined) {
        own.revision = revision;
        own.expiresAt = expiresAt;
        if (!own.permanent) info(`Lease renewed, new expiration: ${new Date(expiresAt).toISOString()}`);
        this.schedule();
        return;
      }
      // It has changed, and the watch has not told yet.
      const kv = await registry.read(own.name);
      if (kv === undefined) this.gone();
      else await this.follow(kv);
    } catch (failure) {
      if (this.stopped) return;
      error(
        `Error renewing lease (trying again in ${goMinutes(times.againMs)}): ${(failure as Error).message}`,
      );
      this.renewIn(times.againMs);
    }
  }

  /** Takes over what somebody else has put: an operator who makes it a reservation, or another node. */
  private async follow(kv: KeyValue): Promise<void> {
    const { own, times } = this;
    const text = kv.value.toString();
    if (isOfAnother(own, text)) {
      this.gone();
      return;
    }
    own.revision = kv.modRevision;
    own.permanent = kv.lease.isZero();
    if (!own.permanent) {
      // A lease that cannot be asked about may end soon.
      const left = await this.registry.timeLeft(kv.lease).catch(() => 0);
      own.expiresAt = Date.now() + left;
    }
    this.schedule();
    // What peers read has to be right, but two that both mean this must not race each other.
    if (text !== own.value) this.renewIn(Math.max(0, this.putAt + times.againMs - performance.now()));
  }
}

/** Whether a value gives the subnet to another node; one that cannot be read gives it to none. */
function isOfAnother({ name, leases }: OwnKey, text: string): boolean {
  try {
    return parseLeaseValue(name, text).publicIp !== leases.ipv4.publicIp;
  } catch {
    return false;
  }
}

function goMinutes(ms: number): string {
  return ms === 60_000 ? '1 min' : goDuration(ms);
}
