/**
 * flannel's udp backend: a TUN `flannel0` that the kernel routes the whole pod network to; per peer a route in the
 * dataplane and nothing in the kernel.
 */

import type { Dataplane, Prefix } from '../../dataplane/dataplane.js';
import { formatCidr, parseCidr } from '../addresses/cidr.js';
import { formatIp, type Ip } from '../addresses/ip.js';
import { OVERHEAD, type UdpConf } from '../config/net-conf.js';
import { configureDevice, type DeviceState, reconfigureDevice, repairDevice } from '../kernel/device.js';
import { deleteRoutes, ipBatch, ipJson } from '../kernel/ip.js';
import type { Change } from '../kernel/monitor.js';
import { removeStaleRoutes } from '../kernel/stale-routes.js';
import { Settings, udpSettings } from '../kernel/sysctls.js';
import type { Lease } from '../leases/lease.js';
import { warn } from '../support/log.js';
import type { Backend, Overlay, OverlayOptions, PeerStatus, Repaired } from './backend.js';
import { difference } from './difference.js';

interface IpRoute {
  dev?: string;
  metric?: number;
}

/** What outlives an overlay whose device is gone. */
interface Memory {
  /** Whose the kernel's route to the network is; undefined before there was one. */
  route: 'own' | 'foreign' | undefined;
}

export function udpBackend(conf: UdpConf): Backend {
  const memory: Memory = { route: undefined };
  return {
    conf,
    device: 'flannel0',
    rivals: /^flannel\.\d+$/,
    overhead: OVERHEAD.udp,
    summary: `UDP config: Port=${conf.port}`,
    learning: false,
    peerCheck: 'strict',
    tunnel: (own, peerCheck) => ({ type: 'udp', address: word(own.subnet.base), peerCheck }),
    overlay: (dataplane, options) => new UdpOverlay(dataplane, options, memory),
  };
}

class UdpOverlay implements Overlay {
  private readonly dataplane: Dataplane;
  private readonly options: OverlayOptions;
  private readonly settings: Settings;
  /** Subnet → public IP, as the dataplane has them. */
  private readonly applied = new Map<string, Ip>();
  private readonly memory: Memory;
  private routed = false;
  private index = 0;

  constructor(dataplane: Dataplane, options: OverlayOptions, memory: Memory) {
    this.dataplane = dataplane;
    this.options = options;
    this.settings = new Settings(udpSettings(options.device));
    this.memory = memory;
  }

  async clear(own: Lease): Promise<void> {
    const { network, device } = this.options;
    await removeStaleRoutes({ network, device, own: own.subnet, leased: [] });
  }

  async configure(own: Lease): Promise<void> {
    this.settings.establish();
    this.index = await configureDevice(this.deviceState(own));
  }

  async reconfigure(before: Lease, after: Lease): Promise<void> {
    await reconfigureDevice(this.deviceState(before), this.deviceState(after));
    await this.dataplane.setOwnAddress(word(after.subnet.base));
  }

  async apply(peers: readonly Lease[]): Promise<number> {
    const { applied } = this;
    const wanted = new Map(peers.map(({ subnet, publicIp }) => [formatCidr(subnet), publicIp]));
    const { gone, set } = difference(applied, wanted);
    if (gone.length + set.length > 0) {
      await this.dataplane.updateRoutes({
        remove: gone.map(prefixOf),
        set: set.map(([subnet, publicIp]) => ({ ...prefixOf(subnet), address: word(publicIp) })),
      });
      for (const subnet of gone) applied.delete(subnet);
      for (const [subnet, publicIp] of set) applied.set(subnet, publicIp);
    }
    // Last, so that no packet comes to a dataplane that has no peers yet and is told that there is no way.
    return this.routed ? 0 : await this.routeNetwork();
  }

  concerns({ text }: Change): boolean {
    return text.includes(this.options.device) || text.includes(`${formatCidr(this.options.network)} `);
  }

  get deviates(): boolean {
    return this.settings.deviate;
  }

  async repair(own: Lease): Promise<Repaired> {
    const repairs = await repairDevice(this.deviceState(own), this.index, this.options.network);
    const settings = this.settings.hold();
    const routes = await this.readRoutes();
    const routed = routes.length > 0 && (this.memory.route === 'foreign' || this.leadsHere(routes));
    const failed = routed ? 0 : await this.putRoute(routes);
    return {
      repairs: {
        ...repairs,
        ...(settings > 0 && { sysctl: settings }),
        ...(!routed && failed === 0 && { route: 1 }),
      },
      failed,
    };
  }

  looseRoutes(): string[] {
    return [];
  }

  async status(peers: readonly Lease[]): Promise<PeerStatus[]> {
    const routed = this.leadsHere(await this.readRoutes());
    return peers.map((lease) => {
      const subnet = formatCidr(lease.subnet);
      return {
        subnet,
        publicIP: formatIp(lease.publicIp),
        route: routed && this.applied.get(subnet) === lease.publicIp,
      };
    });
  }

  /** The kernel's routes to the whole network, that which it takes first. */
  private async readRoutes(): Promise<IpRoute[]> {
    const routes = await ipJson<IpRoute>('-4', 'route', 'show', formatCidr(this.options.network));
    return routes.sort((a, b) => (a.metric ?? 0) - (b.metric ?? 0));
  }

  private leadsHere([first]: readonly IpRoute[]): boolean {
    return first?.dev === this.options.device;
  }

  /** In place of those that are before ours, or without it. */
  private async putRoute(routes: readonly IpRoute[]): Promise<number> {
    // The kernel replaces none where ours is there too, behind another of the same metric.
    if (this.memory.route === 'own' && routes.length > 1) {
      await deleteRoutes([formatCidr(this.options.network)]);
    }
    return await this.routeNetwork();
  }

  /** Sets the one route of the kernel; returns how many changes failed. */
  private async routeNetwork(): Promise<number> {
    const network = formatCidr(this.options.network);
    // One that was ours is so again, whoever has led it elsewhere; at the start whoever was first goes first.
    const command = `route ${this.memory.route === 'own' ? 'replace' : 'add'} ${network} dev ${this.options.device} scope global`;
    const [failure] = await ipBatch([command], this.options.signal);
    if (failure !== undefined && !failure.reason.includes('File exists')) {
      warn(`ip ${command}: ${failure.reason}`);
      return 1;
    }
    if (failure !== undefined) {
      warn(
        `a route to ${network} exists already and stays: pods of other nodes are reached where it leads (ip route show ${network})`,
      );
    }
    this.memory.route = failure === undefined ? 'own' : 'foreign';
    this.routed = true;
    return 0;
  }

  private deviceState(lease: Lease): DeviceState {
    const { device, mtu } = this.options;
    return { name: device, mac: undefined, mtu, subnet: lease.subnet };
  }
}

function prefixOf(subnet: string): Prefix {
  const cidr = parseCidr(subnet);
  if (cidr === undefined) throw new Error(`${subnet} is not a network`);
  return { base: word(cidr.base), prefix: cidr.prefixLength };
}

/** Returns the dataplane's form of an IPv4 address: a signed 32-bit word. */
function word(ip: Ip): number {
  if (typeof ip === 'bigint') throw new Error('backend udp carries IPv4 only');
  return ip | 0;
}
