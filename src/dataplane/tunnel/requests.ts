/** Requests that control sends to a tunnel, and the entries they carry. */

import type { UnderlayAddress } from '../../sys/sockaddr.js';
import type { LearnedEntry } from './learned.js';
import type { PeerTable } from './peer-traffic.js';
import type { RefusedSource } from './refused-sources.js';

/** A VTEP MAC as two integers (see wire/ethernet.ts) and its VTEP's address, of the underlay's family. */
export interface FdbEntry {
  high: number;
  low: number;
  address: UnderlayAddress;
}

/** An IPv4 prefix: `base` in host order, signed; `prefixLength` 0 to 32. */
export interface Prefix {
  base: number;
  prefixLength: number;
}

/** A prefix and the address of its peer (IPv4, host order, signed). */
export interface Route extends Prefix {
  address: number;
}

/** Changes of a table, removals first. Flat arrays spare the worker a garbage collection for ten thousand objects. */
export interface TableChanges {
  /** Keys of two numbers. */
  remove: Int32Array;
  /** Keys, each followed by its address: one number, or the four words of an IPv6 address. */
  set: Int32Array;
}

export type TunnelRequest =
  /** vxlan: keys are MACs, [high, low]. */
  | ({ type: 'fdb' } & TableChanges)
  /** udp: keys are prefixes, [base, prefixLength]. */
  | ({ type: 'routes' } & TableChanges)
  /** vxlan: the VTEP MAC of this node. */
  | { type: 'own-mac'; high: number; low: number }
  /** udp: the address of the device (IPv4, host order, signed). */
  | { type: 'own-address'; address: number }
  /** vxlan: lists the learned entries. */
  | { type: 'learned' }
  /** Shares the counts and times of all peers, and lists the sources that the peer check refused. */
  | { type: 'peers' };

export interface TunnelAnswer {
  learned?: LearnedEntry[];
  peers?: PeerTable;
  refused?: RefusedSource[];
}
