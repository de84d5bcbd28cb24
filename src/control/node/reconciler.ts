/**
 * One node of the cluster, as one family sees it: holds the device and the peers to what the leases say, from `start` to
 * `stop`. It is given a backend, a dataplane and leases, and knows neither packets nor where leases come from.
 */

import { type Dataplane, DataplaneGone } from '../../dataplane/dataplane.js';
import { type Cidr, formatCidr } from '../addresses/cidr.js';
import { familyOf, formatIp } from '../addresses/ip.js';
import type { Backend, Overlay } from '../backends/backend.js';
import { difference } from '../backends/difference.js';
import { DeviceGone, type Repairs } from '../kernel/device.js';
import type { Lease, LeaseSet } from '../leases/lease.js';
import { info, warn } from '../support/log.js';

/** Pauses before a change that failed is tried again: from, doubling, to. */
const RETRY_FIRST_MS = 1000;
const RETRY_LAST_MS = 30_000;
/** Up to so many changed peers are logged one by one. */
const LOGGED_PEERS = 16;

export interface NodeOptions {
  backend: Backend;
  /** The pod network of the cluster. */
  network: Cidr;
  /** MTU of the overlay device. */
  mtu: number;
  /** Notes the routes that do not go with the device. */
  save(): Promise<void>;
}

export class Node {
  readonly options: NodeOptions;
  own: Lease;
  peers: readonly Lease[] = [];
  overlay: Overlay;
  /** Objects that were not as they should be and were put right, by kind, since the start. */
  readonly repairs: Repairs = {};
  /** Everything that changes the system, one after the other. */
  private work: Promise<void> = Promise.resolve();
  private retry: NodeJS.Timeout | undefined;
  private retryMs = RETRY_FIRST_MS;
  private readonly leaving = new AbortController();

  constructor(options: NodeOptions, dataplane: Dataplane, own: Lease) {
    this.options = options;
    this.own = own;
    this.overlay = this.overlayOn(dataplane);
  }

  /**
   * Sets up device and peers; the dataplane has been started. @throws DeviceGone, DataplaneGone; UserError when the device
   * cannot be
   */
  start(peers: readonly Lease[]): Promise<void> {
    return this.enqueue(async () => {
      this.peers = peers;
      // Nothing waits for that: what is in the way of nobody else is cleared as well a moment later.
      const cleared = this.overlay.clear(this.own, peers);
      cleared.catch(() => {});
      await this.overlay.configure(this.own);
      logChanges([], peers);
      await this.applyPeers();
      await cleared;
    });
  }

  /** Follows a new set of leases. @throws UserError when the device cannot follow a change of the own one */
  update({ own, peers }: LeaseSet): Promise<void> {
    return this.enqueue(async () => {
      await withDevice(() => this.takeOwnLease(own));
      this.takePeers(peers);
      await withDevice(() => this.applyPeers());
    });
  }

  /** Puts right what is not as it should be. @throws DeviceGone; UserError when the system cannot be read or changed */
  check(): Promise<void> {
    return this.enqueue(async () => {
      const { repairs, failed } = await this.overlay.repair(this.own, this.peers);
      this.count(repairs);
      if (failed > 0) this.tryAgain(failed);
    });
  }

  /**
   * Sets everything up again on a fresh dataplane that `open` gives.
   * @throws DeviceGone, DataplaneGone, UserError when the device cannot be set up
   */
  rebuild(open: () => Promise<Dataplane>): Promise<void> {
    return this.enqueue(async () => {
      this.overlay = this.overlayOn(await open());
      await this.overlay.configure(this.own);
      await this.applyPeers();
      this.count({ device: 1 });
    });
  }

  /** True from the moment `stop` was called. */
  get stopped(): boolean {
    return this.leaving.signal.aborted;
  }

  /** Waits for the change under way and takes up no other. */
  async stop(): Promise<void> {
    this.leaving.abort();
    clearTimeout(this.retry);
    await this.work.catch(() => {});
  }

  private overlayOn(dataplane: Dataplane): Overlay {
    const { backend, network, mtu, save } = this.options;
    const { signal } = this.leaving;
    return backend.overlay(dataplane, { device: backend.device, mtu, network, signal, save });
  }

  /** Notes, and says, what has been put right. */
  count(repairs: Repairs): void {
    const kinds = Object.entries(repairs);
    if (kinds.length === 0) return;
    for (const [kind, count] of kinds) this.repairs[kind] = (this.repairs[kind] ?? 0) + count;
    const what = kinds.map(([kind, count]) => `${count} x ${kind}`).join(', ');
    warn(`${this.options.backend.device} was not as it should be, put right: ${what}`);
  }

  private enqueue(change: () => Promise<void>): Promise<void> {
    const done = this.work
      .then(() => (this.stopped ? undefined : change()))
      .catch((error: Error) => {
        // Leaving kills an ip that is at work; its device goes anyway.
        if (!this.stopped) throw error;
      });
    this.work = done.catch(() => {});
    return done;
  }

  private async takeOwnLease(lease: Lease): Promise<void> {
    const before = this.own;
    if (lease.vtepMac === before.vtepMac && formatCidr(lease.subnet) === formatCidr(before.subnet)) return;
    info(`this node's lease changed: subnet ${formatCidr(lease.subnet)}${macText(lease)}`);
    this.own = lease;
    await this.overlay.reconfigure(before, lease).catch((error: Error) => {
      if (!isGone(error)) this.own = before;
      throw error;
    });
  }

  private takePeers(peers: readonly Lease[]): void {
    logChanges(this.peers, peers);
    this.peers = peers;
  }

  private async applyPeers(): Promise<void> {
    clearTimeout(this.retry);
    const failed = await this.overlay.apply(this.peers);
    if (failed > 0) this.tryAgain(failed);
    else this.retryMs = RETRY_FIRST_MS;
  }

  private tryAgain(failed: number): void {
    clearTimeout(this.retry);
    warn(
      `${failed === 1 ? 'a change' : `${failed} changes`} failed; trying again in ${this.retryMs / 1000} s`,
    );
    this.retry = setTimeout(() => {
      this.enqueue(() => this.applyPeers()).catch((error: Error) => warn(error.message));
    }, this.retryMs);
    this.retryMs = Math.min(this.retryMs * 2, RETRY_LAST_MS);
  }
}

/** A device that is deleted meanwhile is made anew, and then with all that is wanted. */
async function withDevice(change: () => Promise<void>): Promise<void> {
  await change().catch((error: Error) => {
    if (!isGone(error)) throw error;
  });
}

/** Whether something failed for want of the device. */
export function isGone(error: unknown): boolean {
  return error instanceof DeviceGone || error instanceof DataplaneGone;
}

function describe(lease: Lease): [string, string] {
  const key = familyOf(lease.publicIp) === 'ipv4' ? 'PublicIP' : 'PublicIPv6';
  return [formatCidr(lease.subnet), `${key}: ${formatIp(lease.publicIp)}${macText(lease)}`];
}

function macText({ vtepMac }: Lease): string {
  return vtepMac === undefined ? '' : ` VtepMAC: ${vtepMac}`;
}

function logChanges(before: readonly Lease[], after: readonly Lease[]): void {
  const { gone, set } = difference(new Map(before.map(describe)), new Map(after.map(describe)));
  if (gone.length + set.length > LOGGED_PEERS) {
    info(`peers: ${set.length} added or changed, ${gone.length} removed, ${after.length} in all`);
    return;
  }
  for (const subnet of gone) info(`removing ${kind(subnet)}: ${subnet}`);
  for (const [subnet, rest] of set) info(`adding ${kind(subnet)}: ${subnet} ${rest}`);
}

/** flannel's word for it. */
function kind(subnet: string): string {
  return subnet.includes(':') ? 'v6 subnet' : 'subnet';
}
