/** Keeps this node's key in etcd: renews its lease, adopts what others put there, and reports its end. */

import { error, info } from '../../support/log.js';
import { Serial } from '../../support/serial.js';
import type { OwnKey } from './acquire.js';
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

  /** @param onRevoked called once, when the key no longer belongs to this node */
  constructor(registry: Registry, own: OwnKey, timing: EtcdTiming, onRevoked: () => void) {
    this.registry = registry;
    this.own = own;
    this.timing = timing;
    this.onRevoked = onRevoked;
  }

  /** Schedules the next renewal. */
  schedule(): void {
    const { lease, expiresAt } = this.own;
    clearTimeout(this.timer);
    if (lease.isZero()) return;
    const waitMs = Math.max(0, expiresAt - this.timing.marginMs - Date.now());
    info(`Waiting for ${goDuration(waitMs)} to renew lease`);
    this.renewIn(waitMs);
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
    const { renewRetryMs } = this.timing;
    this.putAt = performance.now();
    try {
      const stored = await registry.update(own, own.value);
      if (stored !== undefined) {
        Object.assign(own, stored);
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
      if (this.stopped) return;
      const wait = renewRetryMs === 60_000 ? '1 min' : goDuration(renewRetryMs);
      error(`Error renewing lease (trying again in ${wait}): ${(failure as Error).message}`);
      this.renewIn(renewRetryMs);
    }
  }

  /** Adopts what an operator or another node put under the key. */
  private async adopt(kv: KeyValue): Promise<void> {
    const { own, registry } = this;
    const text = kv.value.toString();
    if (isOfAnotherNode(own, text)) {
      this.onDelete();
      return;
    }
    const duplicate = duplicatePublicIp(own, kv, registry);
    own.revision = kv.modRevision;
    own.lease = kv.lease;
    if (duplicate !== undefined) warnOfDuplicatePublicIp(own);
    // If the reply to the claim fails, the other node is warned by the next renewal here.
    if (duplicate === 'claim')
      own.revision = (await registry.touch(kv).catch(() => undefined)) ?? own.revision;
    if (!own.lease.isZero()) {
      // If the query fails, the lease may end soon: renew at once.
      own.expiresAt = Date.now() + (await registry.timeLeft(kv.lease).catch(() => 0));
    }
    this.schedule();
    // Peers need this node's value, but two nodes with one key must not overwrite each other in turn.
    const isForeign = !own.lease.isZero() && !registry.hasGranted(own.lease);
    if (text === own.value || isForeign) return;
    this.renewIn(Math.max(0, this.putAt + this.timing.renewRetryMs - performance.now()));
  }
}

/** Returns whether a value assigns the subnet to another node; an unreadable value does not. */
function isOfAnotherNode({ name, leases }: OwnKey, text: string): boolean {
  try {
    return parseLeaseValue(name, text).publicIps.ipv4 !== leases.ipv4.publicIp;
  } catch {
    return false;
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
