/** A lease: one node's pod subnet of one family, the address peers send to, and with vxlan its VTEP's MAC. */

import type { Ip, Subnet } from '../addresses/address.js';
import type { Ipv4 } from '../addresses/ipv4.js';
import type { Ipv6 } from '../addresses/ipv6.js';

export interface Lease<A extends Ip = Ipv4> {
  subnet: Subnet<A>;
  publicIp: A;
  /** MAC of the node's VTEP; undefined in a cluster whose backend has none. */
  vtepMac: string | undefined;
}

/** What one node has: a lease of each family, or of one. */
export interface NodeLeases {
  ipv4?: Lease<Ipv4> | undefined;
  ipv6?: Lease<Ipv6> | undefined;
}

/** This node's lease and those of all others it can reach. */
export interface LeaseSet<A extends Ip = Ipv4> {
  own: Lease<A>;
  peers: Lease<A>[];
}

/** A set for each family that the cluster has. */
export interface LeaseSets {
  ipv4?: LeaseSet<Ipv4> | undefined;
  ipv6?: LeaseSet<Ipv6> | undefined;
}

/** The MAC of a lease that vxlan reads: its reader gives every one a MAC. */
export function vtepMacOf({ vtepMac }: Lease<Ip>): string {
  if (vtepMac === undefined) throw new Error('a lease without VtepMAC in a vxlan cluster');
  return vtepMac;
}
