/** Where leases come from: what a node asks of a lease file, of Kubernetes and of etcd alike. */

import type { Ip, Subnet } from '../addresses/address.js';
import type { Ipv4 } from '../addresses/ipv4.js';
import type { Ipv6 } from '../addresses/ipv6.js';
import type { NetConf } from '../config/net-conf.js';
import type { LeaseSets, NodeLeases } from './lease.js';

/**
 * A source hands out whole, checked sets, never changes: whoever takes them compares with what he has
 * (control/backends), so a lost event cannot leave anything behind.
 *
 * In the order of a node's life: `open`, then `preview` (a dry run) or `acquire`, `watch`, `markReady`, `close`.
 */
export interface LeaseSource {
  /** What to call it in messages and in `weft status`. */
  readonly name: string;
  /** Why the leases cannot be followed just now, in a sentence; null while they are. */
  readonly trouble: string | null;
  /**
   * Reaches the source and reads the cluster's network configuration. While the source cannot be reached it waits, and
   * says so at once and then once a minute. @throws UserError when waiting cannot help; the signal's reason when it is
   * aborted
   */
  open(signal: AbortSignal): Promise<Cluster>;
  /** The leases that `acquire` would give, as far as that can be told without changing anything. @throws as `acquire` */
  preview(request: LeaseRequest, signal: AbortSignal): Promise<NodeLeases>;
  /**
   * Gets this node its leases, one of each family asked for, and publishes them; then returns the first sets. A peer may
   * have a lease of one family only.
   * @throws UserError when this node cannot have one; the signal's reason when it is aborted
   */
  acquire(request: LeaseRequest, signal: AbortSignal): Promise<LeaseSets>;
  /** Calls the listener with every later set, one after the other, and keeps this node's lease alive. */
  watch(listener: LeaseListener): void;
  /** Tells whoever waits for it that this node forwards; goes on trying in the background. */
  markReady(): void;
  /** Ends the watch and every connection; the lease stays. */
  close(): Promise<void>;
}

/** What a source says once it is open. */
export interface Cluster {
  netConf: NetConf;
  /** Address that the operator set for this node at the source: it takes the place of --public-ip. */
  nodePublicIp: string | undefined;
  nodePublicIpv6: string | undefined;
}

/** Who asks for leases. */
export interface LeaseRequest {
  netConf: NetConf;
  /** Name of the underlay interface, for messages. */
  interface: string;
  /** What it asks for of each family; undefined: nothing. */
  ipv4: HalfRequest<Ipv4> | undefined;
  ipv6: HalfRequest<Ipv6> | undefined;
}

/** Half a request: that of one family. */
export interface HalfRequest<A extends Ip> {
  /** The interface's addresses, best first. A source that knows nodes by their address takes the first that has a lease. */
  addresses: readonly A[];
  /** The address to publish where the source has no other for this node. */
  publicIp: A;
  /** The subnet this node had before, by its subnet.env. */
  previous: Subnet<A> | undefined;
  /** The MAC its VTEP has had, for a source that knows of none; undefined for one that is derived. */
  vtepMac: string | undefined;
}

export interface LeaseListener {
  /** Later sets; the next ones are handed over once these have been taken. An error counts as a refusal. */
  onLeases(sets: LeaseSets): Promise<void>;
  /** Later sets are no good and were not handed over; what is in force stays. */
  onRefused(error: Error): void;
  /** This node's lease is gone: it has to leave. `reason` is a whole sentence. */
  onRevoked(reason: string): void;
}
