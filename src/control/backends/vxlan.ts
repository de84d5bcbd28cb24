/**
 * flannel's vxlan backend: a TAP `flannel.<VNI>` with the lease's MAC; per peer a neighbour and a route in the kernel and
 * a forwarding entry in the dataplane.
 */

import type { Dataplane } from '../../dataplane/dataplane.js';
import { OVERHEAD, type VxlanConf } from '../config/net-conf.js';
import { formatCidr, formatIpv4 } from '../ipv4.js';
import { type Lease, vtepMacOf } from '../leases/lease.js';
import { splitMac } from '../mac.js';
import {
  configureDevice,
  type DeviceState,
  type Repairs,
  reconfigureDevice,
  repairDevice,
} from '../network/device.js';
import { directlyReached } from '../network/direct.js';
import type { Backend, Overlay, OverlayOptions, PeerStatus } from './backend.js';
import { PeerReconciler, type PeerState, readPeerState, wantedState } from './vxlan-peers.js';

export function vxlanBackend(conf: VxlanConf): Backend {
  const { vni, port, learning, directRouting } = conf;
  return {
    conf,
    device: `flannel.${vni}`,
    rivals: /^flannel\d+$/,
    overhead: OVERHEAD.vxlan,
    summary: `VXLAN config: VNI=${vni} Port=${port} GBP=${conf.gbp} Learning=${learning} DirectRouting=${directRouting}`,
    learning,
    // Learning exists to find VTEPs that no lease lists.
    peerCheck: learning ? 'off' : 'strict',
    tunnel: (_, peerCheck) => ({ type: 'vxlan', vni, peerCheck, learning }),
    overlay: (dataplane, options) => new VxlanOverlay(dataplane, options, conf),
  };
}

class VxlanOverlay implements Overlay {
  private readonly dataplane: Dataplane;
  private readonly options: OverlayOptions;
  private readonly conf: VxlanConf;
  private readonly reconciler: PeerReconciler;

  constructor(dataplane: Dataplane, options: OverlayOptions, conf: VxlanConf) {
    this.conf = conf;
    this.dataplane = dataplane;
    this.options = options;
    this.reconciler = new PeerReconciler(options.device, dataplane, options.signal);
  }

  async configure(own: Lease): Promise<void> {
    await this.setOwnMac(own);
    await configureDevice(this.deviceState(own));
  }

  async reconfigure(before: Lease, after: Lease): Promise<void> {
    await reconfigureDevice(this.deviceState(before), this.deviceState(after));
    if (after.vtepMac !== before.vtepMac) this.reconciler.forgetNeighbours();
    await this.setOwnMac(after);
  }

  async apply(peers: readonly Lease[]): Promise<number> {
    return await this.reconciler.apply(await this.wanted(peers));
  }

  concerns(line: string): boolean {
    const { device } = this.options;
    if (line.includes(device)) return true;
    const subnet = /^(?:Deleted )?(?:unicast )?([0-9.]+\/[0-9]+) /.exec(line)?.[1];
    // A route of ours that someone leads elsewhere; and with direct routes any change of the way to a peer.
    return subnet !== undefined && (this.conf.directRouting || this.reconciler.applied.routes.has(subnet));
  }

  async repair(own: Lease, peers: readonly Lease[]): Promise<Repairs> {
    const repairs = await repairDevice(this.deviceState(own), this.options.network);
    const wanted = await this.wanted(peers);
    await this.reconciler.observe(wanted, { foreign: this.conf.learning });
    const { neighbours, routes } = this.reconciler.deviations(wanted);
    if (neighbours + routes > 0) await this.reconciler.apply(wanted);
    return {
      ...repairs,
      ...(neighbours > 0 && { neighbour: neighbours }),
      ...(routes > 0 && { route: routes }),
    };
  }

  looseRoutes(): string[] {
    return this.reconciler.directRoutes();
  }

  async status(peers: readonly Lease[]): Promise<PeerStatus[]> {
    const wanted = await this.wanted(peers);
    const { neighbours, routes } = await readPeerState(this.options.device);
    return peers.map((lease) => {
      const base = formatIpv4(lease.subnet.base);
      const subnet = formatCidr(lease.subnet);
      const vtepMAC = vtepMacOf(lease);
      const direct = !wanted.neighbours.has(base);
      return {
        subnet,
        publicIP: formatIpv4(lease.publicIp),
        vtepMAC,
        neighbour: neighbours.get(base) === wanted.neighbours.get(base),
        fdb: this.reconciler.applied.fdb.get(vtepMAC) === lease.publicIp,
        route: routes.get(subnet) === wanted.routes.get(subnet),
        ...(direct && { direct: true as const }),
      };
    });
  }

  private async wanted(peers: readonly Lease[]): Promise<PeerState> {
    const direct = this.conf.directRouting
      ? await directlyReached(peers.map(({ publicIp }) => publicIp))
      : undefined;
    return wantedState(this.options.device, peers, direct);
  }

  private async setOwnMac(own: Lease): Promise<void> {
    const { high, low } = splitMac(vtepMacOf(own));
    await this.dataplane.setOwnMac(high, low);
  }

  private deviceState(lease: Lease): DeviceState {
    const { device, mtu } = this.options;
    return { name: device, mac: vtepMacOf(lease), mtu, subnet: lease.subnet };
  }
}
