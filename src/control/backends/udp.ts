/**
 * flannel's udp backend: the kernel routes the whole pod network to a TUN `flannel0`. A peer is a route in the dataplane and
 * nothing in the kernel.
 */

import type { Dataplane, Prefix } from '../../dataplane/dataplane.js';
import { formatCidr, parseCidr } from '../addresses/cidr.js';
import { formatIp, type Ip } from '../addresses/ip.js';
import { OVERHEAD, type UdpConf } from '../config/net-conf.js';
import { deleteRoutes, ipBatch } from '../kernel/ip.js';
import { type KernelSnapshot, metricOf, type Route } from '../kernel/snapshot.js';
import { removeStaleRoutes } from '../kernel/stale-routes.js';
import { udpSysctls } from '../kernel/sysctls.js';
import type { Lease } from '../leases/lease.js';
import { warn } from '../support/log.js';
import type { Backend, PeerOptions, PeerReconciler, PeerStatus, RepairResult } from './backend.js';
import { difference } from './difference.js';

const DEVICE = 'flannel0';

/** The kernel's route to the pod network, which survives a rebuild of the device. */
interface NetworkRoute {
  /** The owner of the kernel's route to the pod network; undefined before the first attempt to add the route. */
  owner: 'weft' | 'other' | undefined;
}

export function udpBackend(conf: UdpConf): Backend {
  const networkRoute: NetworkRoute = { owner: undefined };
  return {
    conf,
    device: DEVICE,
    devices: [DEVICE],
    rivals: /^flannel\.\d+$/,
    overhead: OVERHEAD.udp,
    summary: `UDP config: Port=${conf.port}`,
    learning: false,
    peerCheck: 'strict',
    sysctls: udpSysctls(DEVICE),
    followsRouting: false,
    tunnel: ({ subnet }, peerCheck) => ({ type: 'udp', address: signed(subnet.base), peerCheck }),
    setOwnLease: (dataplane, { subnet }) => dataplane.setOwnAddress(signed(subnet.base)),
    peers: (dataplane, options) => new UdpPeers(dataplane, options, networkRoute),
  };
}

class UdpPeers implements PeerReconciler {
  private readonly dataplane: Pick<Dataplane, 'updateRoutes'>;
  private readonly options: PeerOptions;
  private readonly networkRoute: NetworkRoute;
  /** The pod network in the form of `ip route`. */
  private readonly network: string;
  /** Subnet → public IP, as the dataplane has them. */
  private readonly applied = new Map<string, Ip>();
  /** Whether the route to the network has been added, or belongs to another program. */
  private routed = false;

  constructor(dataplane: Pick<Dataplane, 'updateRoutes'>, options: PeerOptions, networkRoute: NetworkRoute) {
    this.dataplane = dataplane;
    this.options = options;
    this.networkRoute = networkRoute;
    this.network = formatCidr(options.network);
  }

  async removeStale(own: Lease): Promise<void> {
    await removeStaleRoutes(this.options, own.subnet, []);
  }

  async serve(peers: readonly Lease[]): Promise<void> {
    const { applied } = this;
    const desired = new Map(peers.map(({ subnet, publicIp }) => [formatCidr(subnet), publicIp]));
    const { gone, set } = difference(applied, desired);
    if (gone.length + set.length > 0) {
      await this.dataplane.updateRoutes({
        remove: gone.map(prefixOf),
        set: set.map(([subnet, publicIp]) => ({ ...prefixOf(subnet), address: signed(publicIp) })),
      });
      for (const subnet of gone) applied.delete(subnet);
      for (const [subnet, publicIp] of set) applied.set(subnet, publicIp);
    }
  }

  async adopt(_: readonly Lease[], { routes }: KernelSnapshot): Promise<void> {
    this.routed = this.usesDevice(this.networkRoutes(routes));
    if (this.routed) this.networkRoute.owner = 'weft';
  }

  async apply(peers: readonly Lease[]): Promise<number> {
    await this.serve(peers);
    // The kernel's route comes last: before that the dataplane would answer packets with "net unreachable".
    return this.routed ? 0 : await this.addNetworkRoute();
  }

  async repair(_: readonly Lease[], { routes }: KernelSnapshot): Promise<RepairResult> {
    const present = this.networkRoutes(routes);
    const { owner } = this.networkRoute;
    if (present.length > 0 && (owner === 'other' || this.usesDevice(present))) {
      return { repairs: {}, failed: 0 };
    }
    // `replace` does not touch our route behind another one of the same metric.
    if (owner === 'weft' && present.length > 1) await deleteRoutes([this.network]);
    const failed = await this.addNetworkRoute();
    return { repairs: failed === 0 ? { route: 1 } : {}, failed };
  }

  ownsRoute(destination: string): boolean {
    return destination === this.network;
  }

  /** A TUN has no neighbours. */
  forgetNeighbours(): void {}

  async status(peers: readonly Lease[], snapshot: KernelSnapshot | undefined): Promise<PeerStatus[]> {
    const routed =
      snapshot === undefined ? this.routed : this.usesDevice(this.networkRoutes(snapshot.routes));
    return peers.map((lease) => {
      const subnet = formatCidr(lease.subnet);
      return {
        subnet,
        publicIP: formatIp(lease.publicIp),
        route: routed && this.applied.get(subnet) === lease.publicIp,
      };
    });
  }

  /** Returns the kernel's routes to the whole network; the kernel uses the first. */
  private networkRoutes(routes: readonly Route[]): Route[] {
    return routes.filter(({ dst }) => dst === this.network).sort((a, b) => metricOf(a) - metricOf(b));
  }

  private usesDevice([first]: readonly Route[]): boolean {
    return first?.dev === this.options.device;
  }

  /**
   * Adds the kernel's one route and returns the number of failed changes. A route that was ours is replaced even if
   * another program redirected it. At the start an existing route of another owner wins.
   */
  private async addNetworkRoute(): Promise<number> {
    const { network, networkRoute } = this;
    const verb = networkRoute.owner === 'weft' ? 'replace' : 'add';
    const command = `route ${verb} ${network} dev ${this.options.device} scope global`;
    const [failure] = await ipBatch([command], this.options.signal);
    const exists = failure?.reason.includes('File exists') ?? false;
    if (failure !== undefined && !exists) {
      warn(`ip ${command}: ${failure.reason}`);
      return 1;
    }
    if (exists) {
      warn(
        `a route to ${network} exists already and stays: packets to pods of other nodes follow it (ip route show ${network})`,
      );
    }
    networkRoute.owner = exists ? 'other' : 'weft';
    this.routed = true;
    return 0;
  }
}

function prefixOf(subnet: string): Prefix {
  const cidr = parseCidr(subnet);
  if (cidr === undefined) throw new TypeError(`${subnet} is not a CIDR`);
  return { base: signed(cidr.base), prefixLength: cidr.prefixLength };
}

/** Returns an IPv4 address as the dataplane takes it: signed, in host order. */
function signed(address: Ip): number {
  return Number(address) | 0;
}
