/** A lease: one node's pod subnet, the address peers send to, and its VTEP's MAC. */

import type { Cidr, Ipv4 } from '../ipv4.js';

export interface Lease {
  subnet: Cidr;
  publicIp: Ipv4;
  vtepMac: string;
}

/**
 * Where leases come from. A source hands out whole, checked sets, never changes: whoever takes them compares with what
 * he has (node/peers.ts), so a lost event cannot leave anything behind.
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
