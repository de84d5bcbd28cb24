/** A lease: one node's pod subnet, the address peers send to, and with vxlan its VTEP's MAC. */

import type { Cidr, Ipv4 } from '../ipv4.js';

export interface Lease {
  subnet: Cidr;
  publicIp: Ipv4;
  /** MAC of the node's VTEP; undefined in a cluster whose backend has none. */
  vtepMac: string | undefined;
}

/** The MAC of a lease that vxlan reads: its reader gives every one a MAC. */
export function vtepMacOf({ vtepMac }: Lease): string {
  if (vtepMac === undefined) throw new Error('a lease without VtepMAC in a vxlan cluster');
  return vtepMac;
}

/**
 * Where leases come from. A source hands out whole, checked sets, never changes: whoever takes them compares with what
 * he has (control/backends), so a lost event cannot leave anything behind.
 */
export interface LeaseSource {
  /** What to call it in messages. */
  readonly name: string;
  /** The leases now. @throws UserError when there is no good set to start with */
  load(): Promise<Lease[]>;
  /**
   * Calls `onLeases` with every later set, one after the other. One that is not good is reported to `onRefused` and
   * not handed out; an error of `onLeases` counts as a refusal too.
   */
  watch(onLeases: (leases: Lease[]) => Promise<void>, onRefused: (error: Error) => void): void;
  close(): void;
}
