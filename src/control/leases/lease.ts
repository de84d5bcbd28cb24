/** A lease: one node's pod subnet of one family, the address peers send to, and with vxlan its VTEP's MAC. */

import type { Cidr } from '../addresses/cidr.js';
import type { PerFamily } from '../addresses/family.js';
import type { Ip } from '../addresses/ip.js';

export interface Lease {
  subnet: Cidr;
  publicIp: Ip;
  /** MAC of the node's VTEP; undefined in a cluster whose backend has no VTEPs. */
  vtepMac: string | undefined;
}

/** This node's lease and those of all peers. */
export interface LeaseSet {
  own: Lease;
  peers: Lease[];
}

/** A lease set for each family of the cluster. */
export type LeaseSets = PerFamily<LeaseSet>;

/** The leases of one node, at least one. */
export type NodeLeases = PerFamily<Lease>;

/** Returns the MAC of a lease in a vxlan cluster, where every lease has a MAC. */
export function vtepMacOf({ vtepMac }: Lease): string {
  if (vtepMac === undefined) throw new Error('a lease without VtepMAC in a vxlan cluster');
  return vtepMac;
}
