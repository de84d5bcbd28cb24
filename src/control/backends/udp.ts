/**
 * flannel's udp backend: a TUN `flannel0` that the kernel routes the whole pod network to; per peer a route in the
 * dataplane and nothing in the kernel.
 */

import { writeFile } from 'node:fs/promises';
import type { Dataplane, Prefix } from '../../dataplane/dataplane.js';
import { formatSubnet } from '../address.js';
import { OVERHEAD, type UdpConf } from '../config/net-conf.js';
import { formatIpv4, type Ipv4, parseCidr } from '../ipv4.js';
import type { Lease } from '../leases/lease.js';
import { warn } from '../log.js';
import {
  configureDevice,
  type DeviceState,
  type Repairs,
  reconfigureDevice,
  repairDevice,
} from '../network/device.js';
import { ipBatch, ipJson } from '../network/ip.js';
import type { Backend, Overlay, OverlayOptions, PeerStatus } from './backend.js';
import { difference } from './difference.js';

export function udpBackend(conf: UdpConf): Backend {
  return {
    conf,
    device: 'flannel0',
    rivals: /^flannel\.\d+$/,
    overhead: OVERHEAD.udp,
    summary: `UDP config: Port=${conf.port}`,
    learning: false,
    peerCheck: 'strict',
    tunnel: (own, peerCheck) => ({ type: 'udp', address: (own as Lease).subnet.base | 0, peerCheck }),
    overlay: (dataplane, options) => new UdpOverlay(dataplane, options),
  };
}

class UdpOverlay implements Overlay {
  private readonly dataplane: Dataplane;
  private readonly options: OverlayOptions;
  /** Subnet → public IP, as the dataplane has them. */
  private readonly applied = new Map<string, Ipv4>();
  private networkRouted = false;

  constructor(dataplane: Dataplane, options: OverlayOptions) {
    this.dataplane = dataplane;
    this.options = options;
  }

  async configure(own: Lease): Promise<void> {
    await configureDevice(this.deviceState(own));
    await acceptOwnAddress(this.options.device);
  }

  async reconfigure(before: Lease, after: Lease): Promise<void> {
    await reconfigureDevice(this.deviceState(before), this.deviceState(after));
    await this.dataplane.setOwnAddress(after.subnet.base | 0);
  }

  async apply(peers: readonly Lease[]): Promise<number> {
    const { applied } = this;
    const wanted = new Map(peers.map(({ subnet, publicIp }) => [formatSubnet(subnet), publicIp]));
    const { gone, set } = difference(applied, wanted);
    if (gone.length + set.length > 0) {
      await this.dataplane.updateRoutes({
        remove: gone.map(prefixOf),
        set: set.map(([subnet, publicIp]) => ({ ...prefixOf(subnet), address: publicIp | 0 })),
      });
      for (const subnet of gone) applied.delete(subnet);
      for (const [subnet, publicIp] of set) applied.set(subnet, publicIp);
    }
    // Last, so that no packet comes to a dataplane that has no peers yet and is told that there is no way.
    return await this.routeNetwork();
  }

  concerns(line: string): boolean {
    return line.includes(this.options.device) || line.includes(`${formatSubnet(this.options.network)} `);
  }

  async repair(own: Lease): Promise<Repairs> {
    const { device, network } = this.options;
    const repairs = await repairDevice(this.deviceState(own), network);
    const routes = await ipJson<{ dst: string }>('-4', 'route', 'show', formatSubnet(network));
    if (routes.length > 0) return repairs;
    this.networkRouted = false;
    await this.routeNetwork();
    await acceptOwnAddress(device);
    return { ...repairs, route: 1 };
  }

  looseRoutes(): string[] {
    return [];
  }

  async status(peers: readonly Lease[]): Promise<PeerStatus[]> {
    const { device, network } = this.options;
    const routes = await ipJson<{ dev?: string }>('-4', 'route', 'show', formatSubnet(network));
    const routed = routes.some(({ dev }) => dev === device);
    return peers.map((lease) => {
      const subnet = formatSubnet(lease.subnet);
      return {
        subnet,
        publicIP: formatIpv4(lease.publicIp),
        route: routed && this.applied.get(subnet) === lease.publicIp,
      };
    });
  }

  /** Sets the one route of the kernel, once; returns how many changes failed. */
  private async routeNetwork(): Promise<number> {
    if (this.networkRouted) return 0;
    const network = formatSubnet(this.options.network);
    const command = `route add ${network} dev ${this.options.device} scope global`;
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
    this.networkRouted = true;
    return 0;
  }

  private deviceState(lease: Lease): DeviceState {
    const { device, mtu } = this.options;
    return { name: device, mac: undefined, mtu, subnet: lease.subnet };
  }
}

/**
 * Lets packets come in through the device that have its own address as their source: the dataplane's ICMP errors. The
 * kernel takes them for martians otherwise (net/ipv4/fib_frontend.c, fib_validate_source), and no pod would see one.
 */
async function acceptOwnAddress(device: string): Promise<void> {
  const path = `/proc/sys/net/ipv4/conf/${device}/accept_local`;
  await writeFile(path, '1').catch((error: NodeJS.ErrnoException) => {
    warn(`${path} cannot be set (${error.code}): pods are not told when a packet goes nowhere`);
  });
}

function prefixOf(subnet: string): Prefix {
  const { address, prefix } = parseCidr(subnet) as { address: Ipv4; prefix: number };
  return { base: address | 0, prefix };
}
