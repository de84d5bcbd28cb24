/**
 * flannel's vxlan backend: a TAP `flannel.<VNI>` with the lease's MAC; per peer a neighbour and a route in the kernel and
 * a forwarding entry in the dataplane.
 */

import type { Dataplane } from '../../dataplane/dataplane.js';
import { OVERHEAD, type VxlanConf } from '../config/net-conf.js';
import { formatCidr, formatIpv4 } from '../ipv4.js';
import { type Lease, vtepMacOf } from '../leases/lease.js';
import { splitMac } from '../mac.js';
import { configureDevice, type DeviceState, reconfigureDevice } from '../network/device.js';
import { ipJson } from '../network/ip.js';
import type { Backend, Overlay, OverlayOptions, PeerStatus } from './backend.js';
import { PeerReconciler, wantedState } from './vxlan-peers.js';

export function vxlanBackend(conf: VxlanConf): Backend {
  const { vni, port, learning } = conf;
  return {
    conf,
    device: `flannel.${vni}`,
    rivals: /^flannel\d+$/,
    overhead: OVERHEAD.vxlan,
    summary: `VXLAN config: VNI=${vni} Port=${port} Learning=${learning}`,
    learning,
    // Learning exists to find VTEPs that no lease lists.
    peerCheck: learning ? 'off' : 'strict',
    tunnel: (_, peerCheck) => ({ type: 'vxlan', vni, peerCheck, learning }),
    overlay: (dataplane, options) => new VxlanOverlay(dataplane, options),
  };
}

class VxlanOverlay implements Overlay {
  private readonly dataplane: Dataplane;
  private readonly options: OverlayOptions;
  private readonly reconciler: PeerReconciler;

  constructor(dataplane: Dataplane, options: OverlayOptions) {
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

  apply(peers: readonly Lease[]): Promise<number> {
    return this.reconciler.apply(wantedState(peers));
  }

  async status(peers: readonly Lease[]): Promise<PeerStatus[]> {
    const { device } = this.options;
    const [neighbours, routes] = await Promise.all([
      ipJson<{ dst: string; lladdr?: string; state?: string[] }>('neighbour', 'show', 'dev', device),
      ipJson<{ dst: string; gateway?: string }>('-4', 'route', 'show', 'dev', device),
    ]);
    const macs = new Map(
      neighbours.filter(({ state }) => state?.includes('PERMANENT')).map(({ dst, lladdr }) => [dst, lladdr]),
    );
    const gateways = new Map(routes.map(({ dst, gateway }) => [dst, gateway]));
    return peers.map((lease) => {
      const base = formatIpv4(lease.subnet.base);
      const subnet = formatCidr(lease.subnet);
      const vtepMAC = vtepMacOf(lease);
      return {
        subnet,
        publicIP: formatIpv4(lease.publicIp),
        vtepMAC,
        neighbour: macs.get(base) === vtepMAC,
        fdb: this.reconciler.applied.fdb.get(vtepMAC) === lease.publicIp,
        route: gateways.get(subnet) === base,
      };
    });
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
