/**
 * One address family of a running node: its dataplane, its overlay device and its peers.
 *
 * One queue runs everything that changes the system. Set-up and repair share one path: the backend's reconciler compares the
 * desired with the present state and applies the difference.
 */

import {
  type Counters,
  type Dataplane,
  type OffloadLevel,
  type PeerActivity,
  PortFailure,
} from '../../dataplane/dataplane.js';
import { formatCidr, formatHost } from '../addresses/cidr.js';
import { formatIp, type Ip } from '../addresses/ip.js';
import type { PeerReconciler } from '../backends/backend.js';
import type { Journal } from '../journal.js';
import { refuseExisting } from '../kernel/device.js';
import { isLeft } from '../kernel/left-devices.js';
import { readLinks } from '../kernel/links.js';
import type { KernelEvent } from '../kernel/monitor.js';
import { type Repairs, sumRepairs } from '../kernel/repairs.js';
import { readSnapshot } from '../kernel/snapshot.js';
import type { Lease, LeaseSet } from '../leases/lease.js';
import { boundAddress, type FamilyPlan } from '../plan.js';
import { info, warn } from '../support/log.js';
import { Serial } from '../support/serial.js';
import { UserError } from '../support/user-error.js';
import { UnderlayMissing } from '../underlay/rules.js';
import { BlackholeRoute } from './blackhole-route.js';
import { ChecksumWarning } from './checksum-warning.js';
import { TunnelFastPath } from './fast-path.js';
import { isGone, Lifecycle } from './lifecycle.js';
import { macText } from './log-peers.js';
import { OverlayDevice } from './overlay-device.js';
import { TunnelAddress } from './tunnel-address.js';
import { TunnelPeers } from './tunnel-peers.js';

/** What a tunnel gets from the daemon. */
export interface TunnelContext {
  /** Binds the sockets and creates the device. @throws UserError; then nothing is left behind */
  openDataplane(plan: FamilyPlan, own: Lease): Dataplane;
  journal: Journal;
  /** Returns why the fast path cannot be used; null if it can. */
  fastPathObstacle(plan: FamilyPlan): string | null;
  /** Whether the operator has switched it off. */
  fastPathOff: boolean;
  /** Whether the pod subnet gets a blackhole route (--ip-blackhole-route). */
  blackhole: boolean;
  /** The tunnel cannot go on: Weft has to stop. */
  onFailure(error: Error): void;
}

export class FamilyTunnel {
  plan: FamilyPlan;
  /** Why the underlay carries no packet; null while it is present. */
  underlayAbsent: string | null = null;
  own: Lease;
  dataplane: Dataplane;
  readonly peers: TunnelPeers;
  readonly address: TunnelAddress;
  readonly lifecycle: Lifecycle;
  /** Repaired objects by kind, since the start. */
  readonly repairs: Repairs = {};
  private readonly context: TunnelContext;
  readonly device: OverlayDevice;
  readonly fastPath: TunnelFastPath;
  private readonly blackhole: BlackholeRoute | undefined;
  /** Counters of the dataplanes before this one. */
  private past: Readonly<Record<string, number>> = {};
  /** Whether the device outlives this process. */
  private kept = false;
  private readonly checksumWarning = new ChecksumWarning();
  private readonly queue = new Serial();

  /** Opens the dataplane: the device exists when this returns. @throws UserError; then nothing is left behind */
  constructor(plan: FamilyPlan, { own, peers }: LeaseSet, context: TunnelContext) {
    this.plan = plan;
    this.own = own;
    this.context = context;
    this.device = new OverlayDevice(plan);
    this.blackhole = context.blackhole ? new BlackholeRoute(context.journal, plan.backend.device) : undefined;
    this.lifecycle = new Lifecycle({
      stop: () => this.dataplane.remove(),
      reopen: () => this.enqueue(() => this.reopen()),
      onFailure: (error) => this.fail(error),
    });
    this.fastPath = new TunnelFastPath(this, context.fastPathObstacle(plan), context.fastPathOff);
    this.address = new TunnelAddress(plan, own);
    this.dataplane = context.openDataplane(plan, own);
    this.peers = new TunnelPeers(peers, this.dataplane, {
      reconcilerOn: (dataplane) => this.reconcilerOn(dataplane),
      change: (change) => this.change(change),
    });
  }

  /**
   * Starts the forwarding threads. Packets of a device that an earlier run left pass when this resolves. For a new device
   * `setUp` may run meanwhile.
   */
  async startForwarding(): Promise<void> {
    const { plan, own, peers } = this;
    const isNew = plan.origin === 'create';
    // A thread has it before its first packet.
    await plan.backend.setOwnLease(this.dataplane, own);
    if (!isNew) await peers.reconciler.serve(peers.leases);
    await this.startThreads();
    if (isNew) return;
    await this.device.findIndex();
    await this.recordDevice();
  }

  private async recordDevice(): Promise<void> {
    await this.context.journal.setDevice(this.plan.backend.device, this.device.index);
  }

  private async startThreads(): Promise<void> {
    const { dataplane } = this;
    await dataplane.start({
      onFailure: (error) => {
        // An earlier dataplane no longer matters.
        if (dataplane === this.dataplane) this.fail(error);
      },
      onThreadTrouble: (message) => warn(message),
      onOffloadFallback: (direction, reason) =>
        warn(
          `offload: ${reason}; ${direction === 'transmit' ? 'datagrams are sent' : 'packets are written to the device'} one by one`,
        ),
    });
  }

  /** Sets up the device. @throws UserError if it cannot be set up */
  async setUp(): Promise<void> {
    await this.change(() => (this.plan.origin === 'create' ? this.setUpDevice() : this.attachDevice()));
    await this.lifecycle.rebuild;
  }

  /** Sets up the peers. Call it once, after `setUp`. @throws UserError if `ip` cannot be run */
  async setUpPeers(): Promise<void> {
    await this.change(async () => {
      await this.peers.setUp(this.own);
      await this.updateFastPath();
    });
    await this.lifecycle.rebuild;
  }

  /** Lets the device, and its successors after a rebuild, outlive this process. Call it once the node is ready. */
  keepDevice(): void {
    this.kept = true;
    this.dataplane.keepDevice();
  }

  /** Follows a later set of leases. @throws UserError if the device cannot follow this node's own lease */
  async update({ own, peers }: LeaseSet): Promise<void> {
    // A lost device is rebuilt with the latest leases: each part is recorded even if the device is missing.
    await this.change(() => this.followOwnLease(own));
    await this.change(async () => {
      await this.peers.follow(peers);
      await this.updateFastPath();
    });
  }

  /** Follows a change of the underlay: the interface, its MTU or the address of this node. */
  async followUnderlay(plan: FamilyPlan): Promise<void> {
    await this.change(async () => {
      const { mtu } = this.plan;
      this.plan = plan;
      this.device.plan = plan;
      this.rebind();
      if (plan.mtu !== mtu) await this.device.followMtu();
      await this.updateFastPath();
    });
  }

  /** Compares everything with the kernel's state and repairs the differences. @throws UserError if `ip` fails */
  check(): Promise<void> {
    return this.change(async () => {
      const { plan, own } = this;
      this.rebind();
      const snapshot = await readSnapshot(plan.family);
      const repairs = await this.device.repair(own, snapshot, this.guardedAddresses());
      const peers = await this.peers.repair(snapshot);
      const blackhole = await this.blackhole?.repair(own.subnet, snapshot.routes);
      this.countRepairs(sumRepairs(repairs, peers, blackhole ? { route: 1 } : {}));
      await this.updateFastPath();
    });
  }

  /** Returns whether the event may affect an object of this tunnel. */
  affects(event: KernelEvent): boolean {
    const { backend } = this.plan;
    if (this.fastPath.affects(event)) return true;
    switch (event.kind) {
      case 'link':
        return event.index === this.device.index || event.name === backend.device;
      case 'address':
        return event.index === this.device.index;
      case 'neighbour':
        return event.device === backend.device;
      case 'route':
        return (
          backend.followsRouting ||
          event.device === backend.device ||
          this.peers.reconciler.ownsRoute(event.destination) ||
          (this.blackhole !== undefined && event.destination === formatCidr(this.own.subnet))
        );
      case 'rule':
        return backend.followsRouting;
    }
  }

  /** Why packets are lost at present; null if all pass. */
  get notReady(): string | null {
    return this.lifecycle.notReady ?? this.dataplane.silent ?? this.address.unbound;
  }

  /** Returns the counters since the start, over all dataplanes. */
  counters(present: Counters = this.dataplane.counters()): Record<string, number> {
    const counters = Object.entries<number>(present);
    return Object.fromEntries(counters.map(([name, value]) => [name, value + (this.past[name] ?? 0)]));
  }

  /**
   * Returns the activity of each peer since the device was made, and the counters. A dataplane that is being rebuilt has no
   * activity, and a thread may not answer: then `peers` is undefined.
   */
  async figures(): Promise<{ peers?: PeerActivity[]; counters: Record<string, number> }> {
    const { peers, counters } = (await this.dataplane.figures().catch(() => undefined)) ?? {};
    return { ...(peers && { peers }), counters: this.counters(counters) };
  }

  /** The offload level in use. */
  get level(): OffloadLevel | 'bpf' {
    return this.fastPath.status.on ? 'bpf' : this.dataplane.offload.level;
  }

  /** Keeps the packets of a peer, or of all, out of the fast path: a capture sees what the threads forward. */
  async bypassFastPath(peer: Ip | 'all' | undefined): Promise<void> {
    await this.change(() => this.fastPath.bypass(peer));
  }

  /** Compares the fast path with its desired state, once a second. */
  async pollFastPath(): Promise<void> {
    const repairs = await this.fastPath.poll();
    if (repairs > 0) this.countRepairs({ fastPath: repairs });
  }

  /** Stops the dataplane. A new device that the node has not become ready with disappears, and what belongs to it. */
  async close(): Promise<void> {
    await this.dataplane.stop();
    if (!this.kept && this.plan.origin === 'create') await this.fastPath.remove();
  }

  /** Warns of datagrams that arrive damaged. */
  reportDamage(): void {
    this.checksumWarning.note(this.plan.backend.device, this.dataplane.checksumDrops());
  }

  /** Returns `flannel.1 is up with 10.244.1.0/32, 2 peers`. */
  summary(): string {
    const { leases } = this.peers;
    const count = leases.length === 1 ? '1 peer' : `${leases.length} peers`;
    return `${this.plan.backend.device} is up with ${formatHost(this.own.subnet.base)}, ${count}`;
  }

  /** Waits for the running change and starts no other. The dataplane keeps forwarding until it is stopped. */
  async stop(): Promise<void> {
    this.lifecycle.stop();
    this.peers.stop();
    await this.lifecycle.rebuild;
    await this.queue.idle();
  }

  /** Runs a change in the queue. If the device disappears meanwhile, it is rebuilt with everything that is desired. */
  private async change(change: () => Promise<void>): Promise<void> {
    try {
      await this.enqueue(change);
    } catch (error) {
      if (!isGone(error)) throw error;
      this.lifecycle.lose((error as Error).message);
    }
  }

  private enqueue(change: () => Promise<void>): Promise<void> {
    return this.queue.run(async () => {
      try {
        if (!this.lifecycle.signal.aborted) await change();
      } catch (error) {
        // Stopping kills a running `ip`; its failure is expected.
        if (!this.lifecycle.signal.aborted) throw error;
      }
    });
  }

  private reconcilerOn(dataplane: Dataplane): PeerReconciler {
    const { backend, network } = this.plan;
    const { journal } = this.context;
    const { signal } = this.lifecycle;
    return backend.peers(dataplane, { device: backend.device, network, signal, journal });
  }

  private async setUpDevice(): Promise<void> {
    await this.device.configure(this.own);
    await this.recordDevice();
    await this.blackhole?.add(this.own.subnet);
  }

  /** Takes over the device of an earlier run, with its neighbours and routes. */
  private async attachDevice(): Promise<void> {
    const { plan, own, peers } = this;
    const snapshot = await readSnapshot(plan.family);
    await this.device.attach(own, snapshot, this.guardedAddresses());
    await peers.reconciler.adopt(peers.leases, snapshot);
    await this.blackhole?.add(own.subnet);
  }

  /** Returns the addresses that no address or route of the device may divert: the own one and the peers'. */
  private guardedAddresses(): Ip[] {
    const { plan, own, peers } = this;
    return [boundAddress(plan, own), ...peers.leases.map(({ publicIp }) => publicIp)];
  }

  private async followOwnLease(lease: Lease): Promise<void> {
    const before = this.own;
    const moved = formatCidr(lease.subnet) !== formatCidr(before.subnet);
    const renumbered = lease.publicIp !== before.publicIp;
    if (lease.vtepMac === before.vtepMac && !moved && !renumbered) return;
    const address = renumbered ? `, public IP ${formatIp(lease.publicIp)}` : '';
    info(`this node's lease changed: subnet ${formatCidr(lease.subnet)}${macText(lease)}${address}`);
    this.own = lease;
    try {
      this.rebind();
      await this.device.reconfigure(before, lease);
      if (lease.vtepMac !== before.vtepMac) this.peers.reconciler.forgetNeighbours();
      await this.plan.backend.setOwnLease(this.dataplane, lease);
      if (moved) await this.blackhole?.add(lease.subnet);
    } catch (error) {
      if (!isGone(error)) this.own = before;
      throw error;
    }
  }

  private async updateFastPath(): Promise<void> {
    const repairs = await this.fastPath.update();
    if (repairs > 0) this.countRepairs({ fastPath: repairs });
  }

  private countRepairs(repairs: Repairs): void {
    const kinds = Object.entries(repairs);
    if (kinds.length === 0) return;
    for (const [kind, count] of kinds) this.repairs[kind] = (this.repairs[kind] ?? 0) + count;
    const what = kinds.map(([kind, count]) => `${count} x ${kind}`).join(', ');
    warn(`drift repaired on ${this.plan.backend.device}: ${what}`);
  }

  private fail(error: Error): void {
    if (error instanceof PortFailure && error.deviceGone) this.lifecycle.lose(error.message);
    else if (error instanceof UserError) this.context.onFailure(error);
    else this.context.onFailure(new UserError(`${error.message}; restart Weft`));
  }

  private rebind(): void {
    if (this.underlayAbsent === null) this.address.follow(this.dataplane, this.plan, this.own);
  }

  private async reopen(): Promise<void> {
    const { plan, own } = this;
    if (this.underlayAbsent !== null) throw new UnderlayMissing(this.underlayAbsent);
    const links = await readLinks();
    // Our old device may survive under another name. A foreign device of this name wins.
    const foreign = links.filter(({ index }) => index !== this.device.index);
    refuseExisting(foreign, plan.backend.device);
    // A device that was kept survives descriptors that something else closed.
    const known = { name: plan.backend.device, index: this.device.index };
    const survives = links.some(
      (link) => link.name === known.name && link.index === known.index && isLeft(link, [known]),
    );
    const origin = survives ? 'attach' : 'create';
    const dataplane = this.context.openDataplane({ ...plan, origin }, own);
    this.address.bound = boundAddress(plan, own);
    this.lifecycle.opened();
    this.past = this.counters();
    this.dataplane = dataplane;
    this.peers.moveTo(dataplane);
    await plan.backend.setOwnLease(dataplane, own);
    await this.startThreads();
    await this.device.findIndex();
    await this.setUpDevice();
    await this.peers.apply();
    await this.updateFastPath();
    if (this.kept) dataplane.keepDevice();
    this.countRepairs({ device: 1 });
  }
}
