/**
 * What the checks of `weft doctor` know of the node, running or planned. A running Weft sends it over its control socket, so
 * it is JSON: addresses are text.
 */

import { formatCidr } from '../addresses/cidr.js';
import type { Family } from '../addresses/family.js';
import { formatIp } from '../addresses/ip.js';
import type { Lease } from '../leases/lease.js';
import type { Obstacle } from '../obstacles/obstacle.js';
import type { RunOptions } from '../options.js';
import { boundAddress, type FamilyPlan } from '../plan.js';

/** The answer to `examine` before the devices exist. */
export interface NotStarted {
  facts: null;
  notReady: string;
}

/** The answer of a running Weft to `examine`. */
export interface Examined {
  facts: NodeFacts;
  /** Why it is not ready; null if it is. */
  notReady: string | null;
  /** Why the newest leases were rejected; null if they are in force. */
  refusedLeases: string | null;
  obstacles: readonly Obstacle[];
}

export interface NodeFacts {
  backend: 'vxlan' | 'udp';
  /** Null with udp. */
  vni: number | null;
  subnetFile: string;
  /** MTU of the pods. */
  podMtu: number;
  /** Whether the lease source uses TLS, which needs a clock. */
  tls: boolean;
  /** The offload level, and why it is not the next one; null at the highest. */
  level: { name: string; reason: string | null };
  families: readonly FamilyView[];
}

export interface FamilyView {
  family: Family;
  device: string;
  /** MTU that the overlay device is to have, and what the tunnel adds to a packet. */
  mtu: number;
  overhead: number;
  underlay: string;
  /** The address of the tunnel's sockets. */
  address: string;
  port: number;
  network: string;
  subnet: string;
  /** The address of the overlay device. */
  overlayAddress: string;
  vtepMac: string | null;
  directRouting: boolean;
  peers: readonly PeerView[];
}

export interface PeerView {
  publicIp: string;
  subnet: string;
  overlayAddress: string;
  vtepMac: string | null;
}

/** Returns the view of a family; `own` is undefined if this node has no lease yet. */
export function familyView(plan: FamilyPlan, own: Lease | undefined, peers: readonly Lease[]): FamilyView {
  const { family, backend, mtu, link, network, address } = plan;
  const { subnet, vtepMac } = own ?? { subnet: network, vtepMac: undefined };
  return {
    family,
    device: backend.device,
    mtu,
    overhead: backend.overhead,
    underlay: link.name,
    address: formatIp(boundAddress(plan, own ?? address)),
    port: backend.conf.port,
    network: formatCidr(network),
    subnet: formatCidr(subnet),
    overlayAddress: formatIp(subnet.base),
    vtepMac: vtepMac ?? null,
    directRouting: backend.followsRouting,
    peers: peers.map((peer) => ({
      publicIp: formatIp(peer.publicIp),
      subnet: formatCidr(peer.subnet),
      overlayAddress: formatIp(peer.subnet.base),
      vtepMac: peer.vtepMac ?? null,
    })),
  };
}

/** Returns whether the lease source uses TLS. */
export function usesTls({ source }: RunOptions): boolean {
  if (source.type === 'file') return false;
  if (source.type === 'etcd') return source.endpoints.some((endpoint) => endpoint.startsWith('https:'));
  return source.apiUrl?.startsWith('http:') !== true;
}
