/**
 * Whether and how the fast path of a tunnel is used (dataplane/fast-path). Control knows what it depends on: options,
 * interfaces, the kernel's paths to the peers, IPsec policies.
 */

import { isDeepStrictEqual } from 'node:util';
import {
  type AttachOptions,
  type Dataplane,
  type FastPathConfig,
  type FastPeer,
  frameLimits,
  removeFastPath,
} from '../../dataplane/dataplane.js';
import { SystemError } from '../../sys/system-error.js';
import { familyOf, type Ip, toUnderlay } from '../addresses/ip.js';
import { splitMac } from '../addresses/mac.js';
import { ensureJoiner, findJoiner, RECEIVER, removeJoiner, SENDER } from '../kernel/joiner.js';
import { type Link, readLinks } from '../kernel/links.js';
import type { KernelEvent } from '../kernel/monitor.js';
import { type Path, pathsTo } from '../kernel/paths.js';
import { hasMatchingPolicy } from '../kernel/xfrm.js';
import { type Lease, vtepMacOf } from '../leases/lease.js';
import { boundAddress, type FamilyPlan } from '../plan.js';
import { info, warn } from '../support/log.js';
import { Once } from '../support/once.js';
import { UserError } from '../support/user-error.js';

const POLICED = 'an IPsec policy matches datagrams of the tunnel (ip xfrm policy)';

/** The reason after a dataplane whose fast path was on. */
const NO_DATAPLANE = 'the device is being set up again';

/** The present state of the tunnel that a fast path belongs to. */
export interface PresentTunnel {
  readonly dataplane: Pick<Dataplane, 'fastPath'>;
  readonly plan: FamilyPlan;
  readonly own: Lease;
  readonly peers: { readonly leases: readonly Lease[] };
  /** Why the underlay carries no packet; null while it is present. */
  readonly underlayAbsent: string | null;
}

export interface FastPathStatus {
  on: boolean;
  /** `tcx`, `clsact` or both; null while it is off. */
  attached: string | null;
  /** Why it is off. */
  reason: string | null;
  /** Whether it is off by --offload. */
  chosen: boolean;
}

export class TunnelFastPath {
  private readonly tunnel: PresentTunnel;
  /** Why it cannot be used at all; null if it can. */
  private readonly obstacle: string | null;
  /** Whether that is the operator's choice. */
  private readonly chosen: boolean;
  /** Why it is off at present. */
  private reason: string | null = 'starting';
  /** The configuration in use. */
  private config: FastPathConfig | undefined;
  /** MTU of the overlay device. */
  private overlayMtu = 0;
  /** The paths to the peers' addresses; undefined for one that the kernel does not reach. */
  private readonly paths = new Map<Ip, Path | undefined>();
  /** Whether an interface, an address or a route has changed since everything was read. */
  private outdated = true;
  private lostJoiner = false;
  /** The peer whose packets a capture needs in the threads. */
  private bypassed: Ip | 'all' | undefined;
  private readonly failure = new Once();

  constructor(tunnel: PresentTunnel, obstacle: string | null, chosen: boolean) {
    this.tunnel = tunnel;
    this.obstacle = obstacle;
    this.chosen = chosen;
    if (obstacle !== null && !chosen) info(`no fast path for ${tunnel.plan.backend.device}: ${obstacle}`);
  }

  get status(): FastPathStatus {
    const { fastPath } = this.tunnel.dataplane;
    const on = fastPath?.isOn === true;
    return {
      on,
      attached: on ? fastPath.attachments : null,
      reason: on ? null : (this.obstacle ?? this.reason ?? NO_DATAPLANE),
      chosen: this.chosen,
    };
  }

  /** Returns whether the event may change a path, or an interface of the fast path. */
  affects(event: KernelEvent): boolean {
    if (this.obstacle !== null) return false;
    switch (event.kind) {
      case 'link':
        return isJoiner(event);
      case 'route':
        // A route through the tunnel leads to pods.
        return event.device !== this.tunnel.plan.backend.device;
      case 'address':
      case 'rule':
        return true;
      case 'neighbour':
        return false;
    }
  }

  /** Notes what an event changes, and stops using a joiner that is gone at once: what is sent to it is lost. */
  follow(event: KernelEvent): void {
    // The MTU of any interface may be that of a path.
    if (event.kind === 'link' || this.affects(event)) this.outdated = true;
    if (this.config === undefined || !isJoiner(event)) return;
    readLinks()
      .then((links) => {
        if (findJoiner(links) !== undefined) return;
        this.lostJoiner = true;
        return this.attempt(async () => this.turnOff(`${SENDER} or ${RECEIVER} is gone or down`));
      })
      .catch((error: Error) => warn(error.message));
  }

  /**
   * Brings the fast path to the present plan, leases and paths. Returns the number of repairs. A failure leaves it as it is;
   * the next check tries again.
   */
  async update(): Promise<number> {
    if (this.obstacle !== null) return 0;
    return await this.attempt(async () => {
      const obstacle = this.tunnel.underlayAbsent ?? this.policed();
      if (obstacle !== null) return this.turnOff(obstacle);
      if (!this.outdated && this.status.on && this.suitsPlan()) return await this.followPeers();
      const links = await readLinks();
      const overlay = links.find(({ name }) => name === this.tunnel.plan.backend.device);
      if (overlay === undefined) return this.turnOff(`${this.tunnel.plan.backend.device} is gone`);
      return await this.turnOn(overlay, links);
    });
  }

  /** Removes a peer, or all, until the call with undefined: then every peer returns. */
  async bypass(peer: Ip | 'all' | undefined): Promise<void> {
    this.bypassed = peer;
    if (this.status.on) await this.attempt(() => this.followPeers());
  }

  /** Repairs what another program removed, and follows IPsec policies. Returns the number of repairs. Runs every second. */
  async poll(): Promise<number> {
    const { fastPath } = this.tunnel.dataplane;
    if (fastPath?.isOn !== true) return 0;
    return await this.attempt(async () => {
      const policed = this.policed();
      return policed === null ? fastPath.repair() : this.turnOff(policed);
    });
  }

  /** Returns the number of repairs of a step; 0 for one that fails, which is logged and tried again. */
  private async attempt(step: () => Promise<number>): Promise<number> {
    try {
      const repairs = await step();
      this.failure.clear();
      return repairs;
    } catch (error) {
      if (!(error instanceof SystemError) && !(error instanceof UserError)) throw error;
      this.outdated = true;
      if (!this.status.on) this.reason = error.message;
      this.failure.log(`fast path: ${error.message}; trying again`);
      return 0;
    }
  }

  private async turnOn(overlay: Link, links: readonly Link[]): Promise<number> {
    const { fastPath } = this.tunnel.dataplane;
    if (fastPath === undefined) return 0;
    this.outdated = false;
    this.overlayMtu = overlay.mtu;
    this.paths.clear();
    const config = await this.configFor(overlay, links);
    if (fastPath.isOn && isDeepStrictEqual(config, this.config)) return await this.followPeers();
    await this.findPaths();
    fastPath.turnOn(config, this.fastPeers());
    info(`fast path on: BPF programs forward packets of known peers (${fastPath.attachments})`);
    this.config = config;
    this.reason = null;
    const repairs = this.lostJoiner ? 1 : 0;
    this.lostJoiner = false;
    return repairs;
  }

  /** Sets the present peers. Returns 0: the number of repairs. */
  private async followPeers(): Promise<number> {
    await this.findPaths();
    this.tunnel.dataplane.fastPath?.setPeers(this.fastPeers());
    return 0;
  }

  /** Finds the paths to the peers that are new. */
  private async findPaths(): Promise<void> {
    const { plan, own, peers } = this.tunnel;
    const unknown = new Set(
      peers.leases.map(({ publicIp }) => publicIp).filter((address) => !this.paths.has(address)),
    );
    const found = await pathsTo([...unknown], boundAddress(plan, own));
    for (const address of unknown) this.paths.set(address, found.get(address));
  }

  /** Returns whether the configuration in use has what the plan and the own lease require. */
  private suitsPlan(): boolean {
    const { config } = this;
    return config !== undefined && isDeepStrictEqual(config, { ...config, ...this.fromPlan() });
  }

  /** Whether it is used, or may be used later. */
  get mayBeUsed(): boolean {
    return this.obstacle === null;
  }

  /** Whether it is off because of an IPsec policy that is gone, for which the kernel sends no event that Weft follows. */
  get waits(): boolean {
    if (this.reason !== POLICED) return false;
    try {
      return this.policed() === null;
    } catch (error) {
      if (!(error instanceof SystemError)) throw error;
      return false;
    }
  }

  private policed(): string | null {
    const { plan, own, peers } = this.tunnel;
    const datagrams = {
      own: boundAddress(plan, own),
      // Most nodes have no policy, and some have very many peers.
      get peers() {
        return peers.leases.map(({ publicIp }) => publicIp);
      },
      port: plan.backend.conf.port,
    };
    return hasMatchingPolicy(datagrams) ? POLICED : null;
  }

  private async configFor(overlay: Link, links: readonly Link[]): Promise<FastPathConfig> {
    return { ...this.fromPlan(), overlay: overlay.index, joiner: await ensureJoiner(links) };
  }

  private fromPlan(): Omit<FastPathConfig, 'overlay' | 'joiner'> {
    const { plan, own } = this.tunnel;
    const { conf } = plan.backend;
    return {
      underlay: plan.link.index,
      address: toUnderlay(boundAddress(plan, own)) as number,
      port: conf.port,
      vni: conf.type === 'vxlan' ? conf.vni : 0,
      mac: splitMac(vtepMacOf(own)),
    };
  }

  private fastPeers(): FastPeer[] {
    const byMac = new Map(
      this.tunnel.peers.leases.map((lease): [string, Lease] => [vtepMacOf(lease), lease]),
    );
    if (this.bypassed === 'all') return [];
    return [...byMac].flatMap(([mac, { publicIp }]) => {
      if (publicIp === this.bypassed) return [];
      const path = this.paths.get(publicIp);
      if (path === undefined || familyOf(publicIp) !== 'ipv4') return [];
      return [
        {
          ...splitMac(mac),
          vtep: toUnderlay(publicIp) as number,
          ifindex: path.ifindex,
          ...frameLimits(path.mtu, this.overlayMtu),
        },
      ];
    });
  }

  /** Returns 0: the number of repairs. */
  private turnOff(reason: string): number {
    const { fastPath } = this.tunnel.dataplane;
    if (reason !== this.reason) warn(`fast path off: ${reason}; the forwarding threads carry all packets`);
    this.reason = reason;
    this.config = undefined;
    if (fastPath?.isOn === true) fastPath.turnOff();
    return 0;
  }

  /** Removes everything that a dataplane, which is stopped, leaves of the fast path. @throws UserError */
  async remove(): Promise<void> {
    if (this.obstacle === null) await removeJoiner(await readLinks());
  }
}

function isJoiner(event: KernelEvent): boolean {
  return event.kind === 'link' && (event.name === SENDER || event.name === RECEIVER);
}

/** Removes programs, pins and joiner of an earlier run. Returns whether there was something. @throws UserError */
export async function removeLeftFastPath(
  links: readonly Link[],
  { fileSystem }: AttachOptions,
): Promise<boolean> {
  try {
    const removed = removeFastPath(fileSystem);
    return (await removeJoiner(links)) || removed;
  } catch (error) {
    if (!(error instanceof SystemError)) throw error;
    throw new UserError(error.message);
  }
}
