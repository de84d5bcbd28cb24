/** The contract of a lease source: what a node asks of a lease file, of Kubernetes and of etcd alike. */

import type { Cidr } from '../addresses/cidr.js';
import type { PerFamily } from '../addresses/family.js';
import type { Ip } from '../addresses/ip.js';
import type { NetConf } from '../config/net-conf.js';
import type { LeaseSets } from './lease.js';

/**
 * A source delivers complete, checked sets, never deltas. The receiver compares a set with its own state
 * (control/backends), so a lost event leaves nothing stale behind.
 *
 * Order of the calls: `open`, then `preview` (a dry run) or `acquire`, `watch`, `markReady`, `close`.
 */
export interface LeaseSource {
  /** Name in messages and in `weft status`. */
  readonly name: string;
  /** Why the leases cannot be followed now; null while they are followed. */
  readonly notReady: string | null;
  /** How often a watch of the leases ended and another one began. */
  readonly watchRestarts: number;
  /** Files that the source reads again when they change. */
  readonly files: readonly string[];
  /**
   * Connects to the source and reads the cluster's network configuration. While the source cannot be reached, `open`
   * waits, and logs it at once and then once a minute. @throws UserError when waiting cannot help; the signal's reason
   * when the signal is aborted
   */
  open(signal: AbortSignal): Promise<Cluster>;
  /** Returns the sets that `acquire` would return, as far as a dry run can tell. @throws as `acquire` */
  preview(request: LeaseRequest, signal: AbortSignal): Promise<LeaseSets>;
  /**
   * Acquires and publishes a lease of each requested family for this node, then returns the first sets. A peer may have
   * a lease of one family only.
   * @throws UserError when this node cannot have a lease; the signal's reason when the signal is aborted
   */
  acquire(request: LeaseRequest, signal: AbortSignal): Promise<LeaseSets>;
  /**
   * Follows a change of this node's addresses: publishes the new ones and keeps the subnet and the MAC. The listener then
   * gets the sets with the new public IP. A source that cannot publish now retries in the background.
   * @throws UserError when this node has no lease with the new addresses; the lease in force stays
   */
  move(request: LeaseRequest): Promise<void>;
  /** Calls the listener with every later set, one after the other, and keeps this node's lease alive. */
  watch(listener: LeaseListener): void;
  /** Publishes that this node forwards packets; a failure is retried in the background. */
  markReady(): void;
  /** Returns the public IPs of the node of this name; a source without names does not have it. */
  addressesOf?(node: string): readonly string[];
  /** Ends the watch and every connection; the lease stays. */
  close(): Promise<void>;
}

/** What `open` reads from the source. */
export interface Cluster {
  netConf: NetConf;
  /** Addresses that the operator set for this node at the source; they override --public-ip and --public-ipv6. */
  publicIps: PerFamily<string>;
}

export interface LeaseRequest {
  netConf: NetConf;
  /** Name of the underlay interface, for messages. */
  interface: string;
  families: PerFamily<FamilyRequest>;
}

/** A lease request for one family. */
export interface FamilyRequest {
  /** The interface's addresses, best first. A source that identifies nodes by address uses the first with a lease. */
  addresses: readonly Ip[];
  /** The address to publish if the source has no other address for this node. */
  publicIp: Ip;
  /** The subnet that this node had before, by its subnet.env. */
  previous: Cidr | undefined;
  /** The MAC of the adopted VTEP, for a source that has none of this node. */
  vtepMac: string | undefined;
}

export interface LeaseListener {
  /** Applies a later set; the source waits for the promise before the next call. A rejection counts as a refusal. */
  onLeases(sets: LeaseSets): Promise<void>;
  /** Reports later sets that were invalid and not delivered; the sets in force stay. */
  onRefused(error: Error): void;
  /** Reports that this node has lost its lease and must stop. `reason` is a complete log line. */
  onRevoked(reason: string): void;
}
