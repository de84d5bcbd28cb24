/** A lease: one node's pod subnet, the address peers send to, and with vxlan its VTEP's MAC. */

import type { Cidr, Ipv4 } from '../ipv4.js';

export interface Lease {
  subnet: Cidr;
  publicIp: Ipv4;
  /** MAC of the node's VTEP; undefined in a cluster whose backend has none. */
  vtepMac: string | undefined;
}

/** This node's lease and those of all others it can reach. */
export interface LeaseSet {
  own: Lease;
  peers: Lease[];
}

/** The MAC of a lease that vxlan reads: its reader gives every one a MAC. */
export function vtepMacOf({ vtepMac }: Lease): string {
  if (vtepMac === undefined) throw new Error('a lease without VtepMAC in a vxlan cluster');
  return vtepMac;
}
