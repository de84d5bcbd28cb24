/** One family of the node in service: its device, its tunnel and its peers. */

import { setTimeout as delay } from 'node:timers/promises';
import { type Dataplane, PortFailure } from '../../dataplane/dataplane.js';
import { formatCidr, formatHost } from '../addresses/cidr.js';
import { formatIp, type Ip } from '../addresses/ip.js';
import type { FirewallRange } from '../firewall/firewall.js';
import { BlackholeRoute } from '../kernel/blackhole-route.js';
import { NameTaken, refuseExisting } from '../kernel/device.js';
import { hasAddress, type Link, readLinks } from '../kernel/links.js';
import type { Change } from '../kernel/monitor.js';
import type { Lease, LeaseSet } from '../leases/lease.js';
import type { RunOptions } from '../options.js';
import { boundAddress, type StackPlan } from '../plan.js';
import type { PodSubnets } from '../subnet-env.js';
import { warn } from '../support/log.js';
import { UserError } from '../support/user-error.js';
import type { DeviceRecord } from './journal.js';
import { isGone, Node } from './reconciler.js';
import type { StackContext } from './status.js';
import { Tunnel } from './tunnel.js';

/** How long the underlay's address may be away. */
const UNDERLAY_GRACE_MS = 2000;

/**
 * How long a device that was deleted is let be: a flanneld that is started beside Weft deletes it and then makes its own.
 * Where that fails, the pauses double, up to the last.
 */
const HANDOVER_MS = 250;
const REBUILD_PAUSE_MS = 1000;
/** How often making it anew may fail for another reason than that it is gone again. */
const REBUILD_TRIES = 5;

export interface StackEvents {
  /** It cannot go on. */
  onFailure(error: Error): void;
  /** What `weft cleanup` and the next start have to know of has changed: device, loose routes. */
  onState(): Promise<void>;
}

function peers(count: number): string {
  return count === 1 ? '1 peer' : `${count} peers`;
}

export class Stack {
  readonly plan: StackPlan;
  readonly node: Node;
  private readonly tunnel: Tunnel;
  private readonly blackhole: BlackholeRoute | undefined;
  private readonly first: LeaseSet;
  private events: StackEvents | undefined;
  private index: number | undefined;
  /** Counts the dataplanes: what an earlier one says is past. */
  private generation = 0;
  /** Why there is no device; undefined while there is one. */
  private lost: string | undefined;
  private rebuilding: Promise<void> | undefined;

  /** Opens device and socket. @throws UserError; then nothing is left behind */
  constructor(plan: StackPlan, links: readonly Link[], options: RunOptions, first: LeaseSet) {
    const { backend, network, mtu } = plan;
    this.plan = plan;
    this.first = first;
    this.tunnel = new Tunnel(plan, links, options, first.own);
    const save = async (): Promise<void> => this.events?.onState();
    this.node = new Node({ backend, network, mtu, save }, this.tunnel.dataplane, first.own);
    this.blackhole = options.rules.blackholeRoute ? new BlackholeRoute() : undefined;
  }

  /** Starts forwarding. */
  async startTunnel(events: StackEvents): Promise<void> {
    this.events = events;
    const { device } = this.plan.backend;
    this.index = (await readLinks()).find(({ name }) => name === device)?.index;
    await events.onState();
    const generation = ++this.generation;
    await this.tunnel.start({
      onFailure: (error) => {
        if (generation === this.generation) this.fail(error);
      },
      onStepDown: (code) =>
        warn(`offload: the kernel refuses trains of datagrams (${code}); each is sent alone from now on`),
    });
  }

  /** Sets up the device and the first peers. @throws UserError when the device cannot be */
  async startNode(): Promise<void> {
    await this.node.start(this.first.peers).catch((error: Error) => {
      if (!isGone(error)) throw error;
      this.rebuild(error.message);
    });
    await this.rebuilding;
    await this.holdBlackhole();
  }

  /** Follows a later set; tells whether this node's subnet has changed. @throws UserError */
  async follow(set: LeaseSet): Promise<boolean> {
    const { subnet } = this.node.own;
    await this.node.update(set);
    await this.holdBlackhole();
    return formatCidr(this.node.own.subnet) !== formatCidr(subnet);
  }

  /** True when a change may be of something that is ours, or of the address that the socket is bound to. */
  concerns(change: Change): boolean {
    const bound = formatIp(this.bound(this.node.own));
    return (
      (change.kind === 'ADDR' && change.text.includes(` ${bound}/`)) ||
      this.node.overlay.concerns(change) ||
      (this.blackhole?.concerns(change) ?? false)
    );
  }

  /** True when something is not as it should be that changes without a word from `ip monitor`. */
  get deviates(): boolean {
    return this.node.overlay.deviates;
  }

  /** Puts right what is not as it should be. @throws UserError */
  async check(): Promise<void> {
    await this.checkUnderlay();
    try {
      await this.node.check();
      if (await this.holdBlackhole()) this.node.count({ route: 1 });
    } catch (error) {
      if (!isGone(error)) throw error;
      this.rebuild((error as Error).message);
    }
  }

  async stop(): Promise<void> {
    await this.tunnel.stop();
  }

  get device(): DeviceRecord {
    return { name: this.plan.backend.device, index: this.index };
  }

  /** Routes that do not go with the device, as `ip route` takes them. */
  looseRoutes(): string[] {
    return [...this.node.overlay.looseRoutes(), ...(this.blackhole?.routes ?? [])];
  }

  /** What the firewall is to know, `previous` beside it. */
  firewallRange(previous: PodSubnets | undefined): FirewallRange {
    return { family: this.plan.family, ...this.podSubnets, previous };
  }

  get podSubnets(): PodSubnets {
    return { network: this.plan.network, subnet: this.node.own.subnet };
  }

  /** `flannel.1 is up with 10.244.1.0/32, 2 peers`. */
  get summary(): string {
    const { node, plan } = this;
    return `${plan.backend.device} is up with ${formatHost(node.own.subnet.base)}, ${peers(node.peers.length)}`;
  }

  /** Why no packet goes through the device; undefined while they do. */
  get trouble(): string | undefined {
    return this.lost;
  }

  status(): StackContext {
    const { node, tunnel, plan } = this;
    return {
      node,
      dataplane: tunnel.dataplane,
      counters: tunnel.counters(),
      repairs: node.repairs,
      underlay: { interface: plan.link.name, mtu: plan.link.mtu },
      peerCheck: plan.peerCheck,
    };
  }

  /** Tells whether the route was not there. */
  private async holdBlackhole(): Promise<boolean> {
    return !this.node.stopped && ((await this.blackhole?.hold(this.node.own.subnet)) ?? false);
  }

  private fail(error: Error): void {
    const end = (reason: Error): void => this.events?.onFailure(reason);
    if (!(error instanceof PortFailure)) end(error);
    else if (error.port === 'underlay')
      end(new UserError(`${error.message}: was ${this.plan.link.name} deleted? Start weft again`));
    else this.rebuild(error.message);
  }

  /** Someone has taken the device away: another takes its place, with all its addresses, neighbours and routes. */
  private rebuild(reason: string): void {
    this.generation++;
    this.lost = reason;
    this.rebuilding ??= this.makeDevice()
      .catch((error: Error) => this.events?.onFailure(error))
      .finally(() => {
        this.rebuilding = undefined;
      });
  }

  private async makeDevice(): Promise<void> {
    let failures = 0;
    for (
      let pause = HANDOVER_MS;
      this.lost !== undefined && !this.node.stopped;
      pause = Math.min(2 * pause, REBUILD_PAUSE_MS)
    ) {
      warn(`${this.lost}; making it anew`);
      // Its port is for whoever takes over.
      await this.tunnel.close();
      await delay(pause, undefined, { ref: false });
      await this.node
        .rebuild(() => this.reopen())
        .catch((error: Error) => {
          if (error instanceof NameTaken || (!isGone(error) && ++failures > REBUILD_TRIES)) throw error;
          this.lost = error.message;
        });
    }
  }

  private async reopen(): Promise<Dataplane> {
    const { plan, tunnel, events } = this;
    const links = await readLinks();
    // Its own may be there still under another name; whoever has made one of this name is to have it.
    const foreign = links.filter(({ index }) => index !== this.index);
    refuseExisting(foreign, plan.backend.device);
    // What looks that were under way have said since is of the old one.
    this.lost = undefined;
    await tunnel.reopen(this.node.own);
    await this.startTunnel(events as StackEvents);
    return tunnel.dataplane;
  }

  /** The socket is bound to an address: without it no packet comes any more. */
  private async checkUnderlay(): Promise<void> {
    if (await this.hasUnderlay()) return;
    // An address may go and come again, as when DHCP renews it.
    await delay(UNDERLAY_GRACE_MS);
    if (this.node.stopped || (await this.hasUnderlay())) return;
    const address = formatIp(this.bound(this.node.own));
    this.events?.onFailure(
      new UserError(
        `${address} is no address of this node any more, and the tunnel's socket is bound to it; start weft again, it takes the address there is then`,
      ),
    );
  }

  private hasUnderlay(): Promise<boolean> {
    return hasAddress(this.bound(this.node.own));
  }

  private bound(own: Lease): Ip {
    return boundAddress(this.plan, own);
  }
}
