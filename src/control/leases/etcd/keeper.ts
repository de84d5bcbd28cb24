/** Keeps this node's key in etcd: renews its lease, adopts what others put there, and reports its end. */

import { valuesOf } from '../../addresses/family.js';
import { formatIp, type Ip } from '../../addresses/ip.js';
import { Backoff } from '../../support/backoff.js';
import { error, info } from '../../support/log.js';
import { Serial } from '../../support/serial.js';
import { Outage } from '../outage.js';
import type { EtcdLeases, OwnKey } from './acquire.js';
import { duplicatePublicIp, warnOfDuplicatePublicIp } from './duplicate-public-ip.js';
import { parseLeaseValue } from './lease-value.js';
import type { KeyValue } from './protocol.js';
import type { Registry } from './registry.js';
import type { EtcdTiming } from './timing.js';

export class Keeper {
  private readonly registry: Registry;
  private readonly own: OwnKey;
  private readonly timing: EtcdTiming;
  private readonly onRevoked: () => void;
  private timer: NodeJS.Timeout | undefined;
  /** Serializes renewals and events: the event of a renewal may arrive before its reply. */
  private readonly serial = new Serial();
  private putAt = performance.now();
  private stopped = false;
  /**
   * Other addresses of this node that the key may still have: those before the last move, until a put has succeeded. A put
   * whose reply was lost may have succeeded too.
   */
  private readonly formerIps = new Set<Ip>();
  /** Pauses between attempts to publish a move, which peers wait for. */
  private readonly movePauses: Backoff;
  private moveFailures = new Outage();

  /** @param onRevoked called once, when the key no longer belongs to this node */
  constructor(registry: Registry, own: OwnKey, timing: EtcdTiming, onRevoked: () => void) {
    this.registry = registry;
    this.own = own;
    this.timing = timing;
    this.onRevoked = onRevoked;
    this.movePauses = new Backoff(timing.backoff);
  }

  /** Schedules the next renewal; a move that is not published yet is due at once. */
  schedule(): void {
    const { lease, expiresAt } = this.own;
    clearTimeout(this.timer);
    if (this.isMoving) return this.renewIn(0);
    if (lease.isZero()) return;
    const waitMs = Math.max(0, expiresAt - this.timing.marginMs - Date.now());
    info(`Waiting for ${goDuration(waitMs)} to renew lease`);
    this.renewIn(waitMs);
  }

  /** Makes these the node's leases and publishes them, with retries. They have the subnets of the key. */
  move(leases: EtcdLeases, value: string): void {
    const { own } = this;
    if (this.stopped) return;
    this.formerIps.add(own.leases.ipv4.publicIp);
    own.leases = leases;
    own.value = value;
    this.movePauses.reset();
    this.moveFailures = new Outage();
    this.schedule();
  }

  stop(): void {
    this.stopped = true;
    clearTimeout(this.timer);
  }

  /** Handles the key's current state, from an event or a list. */
  onPut(kv: KeyValue): void {
    void this.serial.run(async () => {
      if (!this.stopped && kv.modRevision.greaterThan(this.own.revision)) await this.adopt(kv);
    });
  }

  /** Handles a key that was deleted or has expired. */
  onDelete(): void {
    if (this.stopped) return;
    this.stop();
    this.onRevoked();
  }

  private renewIn(waitMs: number): void {
    clearTimeout(this.timer);
    if (this.stopped) return;
    this.timer = setTimeout(() => void this.serial.run(() => this.renew()), waitMs);
    this.timer.unref();
  }

  private async renew(): Promise<void> {
    if (this.stopped) return;
    const { own, registry } = this;
    const { value } = own;
    if (this.isLeftBehind) return this.onDelete();
    this.putAt = performance.now();
    try {
      const stored = await registry.update(own, value);
      if (stored !== undefined) {
        Object.assign(own, stored);
        this.endMove(value);
        const expiration = new Date(own.expiresAt).toISOString();
        if (!own.lease.isZero()) info(`Lease renewed, new expiration: ${expiration}`);
        this.schedule();
        return;
      }
      // The key has changed, and the event has not arrived yet.
      const kv = await registry.read(own.name);
      if (kv === undefined) this.onDelete();
      else await this.adopt(kv);
    } catch (failure) {
      if (!this.stopped) this.retry((failure as Error).message);
    }
  }

  private retry(reason: string): void {
    const { renewRetryMs } = this.timing;
    if (this.isMoving) {
      this.moveFailures.report(`Error publishing the new public IP in ${this.own.name}, retrying: ${reason}`);
      this.renewIn(this.movePauses.next());
      return;
    }
    const wait = renewRetryMs === 60_000 ? '1 min' : goDuration(renewRetryMs);
    error(`Error renewing lease (trying again in ${wait}): ${reason}`);
    this.renewIn(renewRetryMs);
  }

  /** Whether this node has moved, and etcd may not have its new address yet. */
  private get isMoving(): boolean {
    return this.formerIps.size > 0;
  }

  /** Whether this node has moved, and another node has taken over the key with the former address. */
  private get isLeftBehind(): boolean {
    return this.isMoving && this.isForeign;
  }

  /** Whether the key has a lease of another process. */
  private get isForeign(): boolean {
    const { lease } = this.own;
    return !lease.isZero() && !this.registry.hasGranted(lease);
  }

  /** Notes that etcd has this value; it is an old one if this node has moved meanwhile. */
  private endMove(value: string): void {
    const { own, formerIps } = this;
    if (!this.isMoving || value !== own.value) return;
    formerIps.clear();
    const publicIps = valuesOf(own.leases).map(({ publicIp }) => formatIp(publicIp));
    info(`published ${publicIps.join(' and ')} in ${own.name}`);
  }

  /** Adopts what an operator or another node put under the key. */
  private async adopt(kv: KeyValue): Promise<void> {
    const { own, registry } = this;
    const text = kv.value.toString();
    if (this.isOfAnotherNode(text)) {
      this.onDelete();
      return;
    }
    const duplicate = duplicatePublicIp(own, kv, registry);
    own.revision = kv.modRevision;
    own.lease = kv.lease;
    if (this.isLeftBehind) return this.onDelete();
    if (duplicate !== undefined) warnOfDuplicatePublicIp(own);
    // If the reply to the claim fails, the other node is warned by the next renewal here.
    if (duplicate === 'claim')
      own.revision = (await registry.touch(kv).catch(() => undefined)) ?? own.revision;
    if (!own.lease.isZero()) {
      // If the query fails, the lease may end soon: renew at once.
      own.expiresAt = Date.now() + (await registry.timeLeft(kv.lease).catch(() => 0));
    }
    this.endMove(text);
    this.schedule();
    // Peers need this node's value, but two nodes with one key must not overwrite each other in turn.
    if (text === own.value || this.isForeign || this.isMoving) return;
    this.renewIn(Math.max(0, this.putAt + this.timing.renewRetryMs - performance.now()));
  }

  /** Returns whether a value assigns the subnet to another node; an unreadable value does not. */
  private isOfAnotherNode(text: string): boolean {
    const { name, leases } = this.own;
    try {
      const publicIp = parseLeaseValue(name, text).publicIps.ipv4;
      return publicIp !== leases.ipv4.publicIp && !this.formerIps.has(publicIp);
    } catch {
      return false;
    }
  }
}

/** Formats a duration as Go does, to a tenth of a second: `22h59m58.9s`. */
export function goDuration(ms: number): string {
  const tenths = Math.max(0, Math.round(ms / 100));
  const seconds = (tenths % 600) / 10;
  const minutes = Math.floor(tenths / 600);
  const hours = Math.floor(minutes / 60);
  if (hours > 0) return `${hours}h${minutes % 60}m${seconds}s`;
  return minutes > 0 ? `${minutes}m${seconds}s` : `${seconds}s`;
}
