/**
 * flannel's vxlan backend: a TAP `flannel.<VNI>`, or `flannel-v6.<VNI>` for IPv6 over IPv6, with the lease's MAC; per peer
 * a neighbour and a route in the kernel and a forwarding entry in the dataplane.
 */

import type { Dataplane } from '../../../dataplane/dataplane.js';
import { formatCidr } from '../../addresses/cidr.js';
import type { Family } from '../../addresses/family.js';
import { familyOf, formatIp } from '../../addresses/ip.js';
import { splitMac } from '../../addresses/mac.js';
import { OVERHEAD, OVERHEAD6, type VxlanConf, vxlanDevice } from '../../config/net-conf.js';
import { configureDevice, type DeviceState, reconfigureDevice, repairDevice } from '../../kernel/device.js';
import { directlyReached } from '../../kernel/direct-routes.js';
import type { Change } from '../../kernel/monitor.js';
import { removeStaleRoutes } from '../../kernel/stale-routes.js';
import { Settings, vxlanSettings } from '../../kernel/sysctls.js';
import { type Lease, vtepMacOf } from '../../leases/lease.js';
import type { Backend, Overlay, OverlayOptions, PeerStatus, Repaired } from '../backend.js';
import { looseRoutesOf, type PeerState, readPeerState, wantedState } from './peer-state.js';
import { PeerReconciler } from './peers.js';

export function vxlanBackend(conf: VxlanConf, family: Family = 'ipv4'): Backend {
  const { vni, port, directRouting } = conf;
  // The dataplane learns no IPv6 addresses.
  const learning = conf.learning && family === 'ipv4';
  return {
    conf,
    device: vxlanDevice(vni, family),
    rivals: /^flannel\d+$/,
    overhead: family === 'ipv4' ? OVERHEAD.vxlan : OVERHEAD6,
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
  private readonly settings: Settings;
  private readonly reconciler: PeerReconciler;
  private index = 0;
  /** Routes past the device that are about to be set. */
  private planned: readonly string[] = [];

  constructor(dataplane: Dataplane, options: OverlayOptions, conf: VxlanConf) {
    this.conf = conf;
    this.dataplane = dataplane;
    this.options = options;
    this.settings = new Settings(vxlanSettings(options.device, this.family));
    this.reconciler = new PeerReconciler(options.device, this.family, dataplane, options.signal);
  }

  async clear(own: Lease, peers: readonly Lease[]): Promise<void> {
    const { network, device } = this.options;
    await removeStaleRoutes({ network, device, own: own.subnet, leased: peers.map(({ subnet }) => subnet) });
  }

  async configure(own: Lease): Promise<void> {
    await this.setOwnMac(own);
    this.settings.establish();
    this.index = await configureDevice(this.deviceState(own));
  }

  async reconfigure(before: Lease, after: Lease): Promise<void> {
    await reconfigureDevice(this.deviceState(before), this.deviceState(after));
    if (after.vtepMac !== before.vtepMac) this.reconciler.forgetNeighbours();
    await this.setOwnMac(after);
  }

  async apply(peers: readonly Lease[]): Promise<number> {
    const wanted = await this.wanted(peers);
    await this.announce(wanted);
    return await this.reconciler.apply(wanted);
  }

  concerns({ kind, text }: Change): boolean {
    if (text.includes(this.options.device)) return true;
    // With direct routes any change may be one of the way to a peer.
    if (this.conf.directRouting) return kind === 'ROUTE' || kind === 'RULE';
    // A route of ours that someone leads elsewhere.
    const subnet = /^(?:Deleted )?(?:[a-z]+ )?([0-9a-f:.]+\/[0-9]+) /.exec(text)?.[1];
    return kind === 'ROUTE' && subnet !== undefined && this.reconciler.applied.routes.has(subnet);
  }

  get deviates(): boolean {
    return this.settings.deviate;
  }

  async repair(own: Lease, peers: readonly Lease[]): Promise<Repaired> {
    // Before: a device without IPv6 can have no address of it. After: below an MTU of 1280 it has no settings of it either.
    let settings = this.settings.hold();
    const repairs = await repairDevice(this.deviceState(own), this.index, this.options.network);
    settings += this.settings.hold();
    const wanted = await this.wanted(peers);
    await this.reconciler.observe(wanted, { foreign: this.conf.learning });
    await this.announce(wanted);
    const peerRepairs = await this.reconciler.repair(wanted);
    return {
      repairs: { ...repairs, ...(settings > 0 && { sysctl: settings }), ...peerRepairs.repairs },
      failed: peerRepairs.failed,
    };
  }

  looseRoutes(): string[] {
    return [...new Set([...this.planned, ...looseRoutesOf(this.reconciler.applied, this.options.device)])];
  }

  async status(peers: readonly Lease[]): Promise<PeerStatus[]> {
    const wanted = await this.wanted(peers);
    const { neighbours, routes } = await readPeerState(this.options.device, this.family);
    return peers.map((lease) => {
      const base = formatIp(lease.subnet.base);
      const subnet = formatCidr(lease.subnet);
      const vtepMAC = vtepMacOf(lease);
      const direct = !wanted.neighbours.has(base);
      return {
        subnet,
        publicIP: formatIp(lease.publicIp),
        vtepMAC,
        neighbour: neighbours.get(base) === wanted.neighbours.get(base),
        fdb: this.reconciler.applied.fdb.get(vtepMAC) === lease.publicIp,
        route: routes.get(subnet) === wanted.routes.get(subnet),
        ...(direct && { direct: true as const }),
      };
    });
  }

  private get family(): Family {
    return familyOf(this.options.network.base);
  }

  private async wanted(peers: readonly Lease[]): Promise<PeerState> {
    const direct = this.conf.directRouting
      ? await directlyReached(peers.map(({ publicIp }) => publicIp))
      : undefined;
    return wantedState(this.options.device, peers, direct);
  }

  /** A weft that is killed in the middle leaves no route that the next does not know of. */
  private async announce(wanted: PeerState): Promise<void> {
    const there = new Set(this.looseRoutes());
    this.planned = looseRoutesOf(wanted, this.options.device);
    if (this.planned.some((route) => !there.has(route))) await this.options.save();
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
