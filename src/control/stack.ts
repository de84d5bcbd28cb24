/** One family of the node in service: its device, its tunnel and its peers. */

import { setTimeout as delay } from 'node:timers/promises';
import { PortFailure } from '../dataplane/dataplane.js';
import { formatHost, formatIp, formatSubnet, type Ip } from './address.js';
import type { Lease, LeaseSet } from './leases/lease.js';
import { warn } from './log.js';
import { BlackholeRoute } from './network/blackhole.js';
import { DeviceGone, refuseExisting } from './network/device.js';
import { hasAddress, type Link, readLinks } from './network/links.js';
import { Node } from './node/node.js';
import type { StackContext } from './node/status.js';
import type { RunOptions } from './options.js';
import { boundAddress, type StackPlan } from './plan.js';
import type { FirewallRange } from './rules/firewall.js';
import type { PodRange } from './rules/wanted.js';
import type { DeviceRecord } from './run-state.js';
import { Tunnel } from './tunnel.js';
import { UserError } from './user-error.js';

/** How long the underlay's address may be away. */
const UNDERLAY_GRACE_MS = 2000;

export interface StackEvents {
  /** It cannot go on. */
  onFailure(error: Error): void;
  /** There is a device, before anything comes through it. */
  onDevice(): Promise<void>;
}

function peers(count: number): string {
  return count === 1 ? '1 peer' : `${count} peers`;
}

export class Stack {
  readonly plan: StackPlan;
  readonly node: Node;
  private readonly tunnel: Tunnel;
  private readonly blackhole: BlackholeRoute | undefined;
  private readonly first: LeaseSet<Ip>;
  private events: StackEvents | undefined;
  private index: number | undefined;
  private rebuilding = false;

  /** Opens device and socket. @throws UserError; then nothing is left behind */
  constructor(plan: StackPlan, links: readonly Link[], options: RunOptions, first: LeaseSet<Ip>) {
    const { backend, network, mtu } = plan;
    this.plan = plan;
    this.first = first;
    this.tunnel = new Tunnel(plan, links, options, first.own);
    this.node = new Node({ backend, network, mtu }, this.tunnel.dataplane, first.own);
    this.blackhole = options.rules.blackholeRoute ? new BlackholeRoute() : undefined;
  }

  /** Starts forwarding. */
  async startTunnel(events: StackEvents): Promise<void> {
    this.events = events;
    const { device } = this.plan.backend;
    this.index = (await readLinks()).find(({ name }) => name === device)?.index;
    await events.onDevice();
    await this.tunnel.start({
      onFailure: (error) => this.fail(error),
      onStepDown: (code) =>
        warn(`offload: the kernel refuses trains of datagrams (${code}); each is sent alone from now on`),
    });
  }

  /** Sets up the device and the first peers. @throws UserError when the device cannot be */
  async startNode(): Promise<void> {
    await this.node.start(this.first.peers);
    await this.holdBlackhole();
  }

  /** Follows a later set; tells whether this node's subnet has changed. @throws UserError */
  async follow(set: LeaseSet<Ip>): Promise<boolean> {
    const { subnet } = this.node.own;
    await this.node.update(set);
    await this.holdBlackhole();
    return formatSubnet(this.node.own.subnet) !== formatSubnet(subnet);
  }

  /** True when a line of `ip monitor` may tell of something that is ours, or of the address that the socket is bound to. */
  concerns(line: string): boolean {
    const bound = formatIp(this.bound(this.node.own));
    return line.includes(` ${bound}/`) || this.node.overlay.concerns(line);
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
      await this.holdBlackhole();
    } catch (error) {
      // Its thread says so too, and then it is made anew.
      if (!(error instanceof DeviceGone)) throw error;
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
  firewallRange(previous: PodRange | undefined): FirewallRange {
    return { family: this.plan.family, ...this.podRange, previous };
  }

  /** The pods' networks as text. */
  get podRange(): PodRange {
    return { network: formatSubnet(this.plan.network), subnet: formatSubnet(this.node.own.subnet) };
  }

  /** `flannel.1 is up with 10.244.1.0/32, 2 peers`. */
  get summary(): string {
    const { node, plan } = this;
    return `${plan.backend.device} is up with ${formatHost(node.own.subnet.base)}, ${peers(node.peers.length)}`;
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

  private async holdBlackhole(): Promise<void> {
    if (!this.node.stopped) await this.blackhole?.hold(this.node.own.subnet);
  }

  private fail(error: Error): void {
    const end = (reason: Error): void => this.events?.onFailure(reason);
    if (!(error instanceof PortFailure)) end(error);
    else if (error.port === 'underlay')
      end(new UserError(`${error.message}: was ${this.plan.link.name} deleted? Start weft again`));
    else if (!this.rebuilding) this.rebuild(error).catch(end);
  }

  /** Someone has deleted the device: another takes its place, with all its addresses, neighbours and routes. */
  private async rebuild(failure: PortFailure): Promise<void> {
    this.rebuilding = true;
    warn(`${failure.message}; making it anew`);
    const { plan, tunnel, events } = this;
    await this.node.rebuild(async () => {
      refuseExisting(await readLinks(), plan.backend.device);
      await tunnel.reopen(this.node.own);
      await this.startTunnel(events as StackEvents);
      return tunnel.dataplane;
    });
    this.rebuilding = false;
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

  private bound(own: Lease<Ip>): Ip {
    return boundAddress(this.plan, own);
  }
}
