/** Keeps this node's key alive: renews its lease, follows what others make of it, tells when it is gone. */

import { formatCidr } from '../../addresses/cidr.js';
import { formatIp } from '../../addresses/ip.js';
import { error, info, warn } from '../../support/log.js';
import type { OwnKey } from './acquire.js';
import { signOf } from './duplicate-public-ip.js';
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
    const { lease, expiresAt } = this.own;
    clearTimeout(this.timer);
    if (lease.isZero()) return;
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
      const ttl = own.lease.isZero() ? 'permanent' : times.ttlS;
      const stored = await registry.update(own.name, own.value, ttl, own.revision);
      if (stored !== undefined) {
        Object.assign(own, stored, { expiresAt });
        if (!own.lease.isZero()) info(`Lease renewed, new expiration: ${new Date(expiresAt).toISOString()}`);
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
    const { own, times, registry } = this;
    const text = kv.value.toString();
    if (isOfAnother(own, text)) {
      this.gone();
      return;
    }
    const sign = signOf(own, kv, registry);
    own.revision = kv.modRevision;
    own.lease = kv.lease;
    if (sign !== undefined) warnOfTwin(own);
    if (sign === 'claim') await this.answer(kv);
    if (!own.lease.isZero()) {
      // A lease that cannot be asked about may end soon.
      const left = await registry.timeLeft(kv.lease).catch(() => 0);
      own.expiresAt = Date.now() + left;
    }
    this.schedule();
    // What peers read has to be right, but two nodes that both mean this would never end.
    const isAnothers = !own.lease.isZero() && !registry.hasGranted(own.lease);
    if (text === own.value || isAnothers) return;
    this.renewIn(Math.max(0, this.putAt + times.againMs - performance.now()));
  }

  /** Tells a node that took this one's key. A failure costs nothing but that: it is told by the next renewal. */
  private async answer(kv: KeyValue): Promise<void> {
    const revision = await this.registry.putBack(kv).catch(() => undefined);
    if (revision !== undefined) this.own.revision = revision;
  }
}

function warnOfTwin({ name, lease, leases: { ipv4 } }: OwnKey): void {
  if (lease.isZero()) {
    warn(
      `the reservation ${name} was put again, by an operator or by another node with the public IP ${formatIp(ipv4.publicIp)}: if there is one, pods of one of the two get no packets; give each node its own with --iface or --public-ip, and start weft again`,
    );
    return;
  }
  warn(
    `another node has the public IP ${formatIp(ipv4.publicIp)} too, and so the same key in etcd and the same subnet ${formatCidr(ipv4.subnet)}: pods of one of the two get no packets; give each node its own with --iface or --public-ip, and start weft again`,
  );
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
