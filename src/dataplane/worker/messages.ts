/**
 * The protocol between control and a forwarding worker: the whole of what crosses the thread boundary apart from the
 * counters. Control posts a request and rings the worker (doorbell.ts); requests are taken in order and each is answered
 * once with its `id`.
 */

import type { UnderlayAddress } from '../../sys/sockaddr.js';
import type { Offload } from '../offload/level.js';
import type { LearnedEntry } from '../tunnel/learned.js';
import type { TunnelOptions } from '../tunnel/tunnel.js';

/** A VTEP MAC as two integers (see wire/ethernet.ts) and the address behind it, of the underlay's family. */
export interface FdbEntry {
  high: number;
  low: number;
  address: UnderlayAddress;
}

/**
 * FDB changes, applied between two bursts, removals first: [high, low] pairs, then [high, low, address] triples, over IPv6
 * with the address's four words. Flat arrays, because ten thousand objects would cost the worker a garbage collection.
 */
export interface FdbRequest {
  type: 'fdb';
  id: number;
  remove: Int32Array;
  set: Int32Array;
}

/** An IPv4 prefix: `base` in host order, signed; `prefix` 0 to 32. */
export interface Prefix {
  base: number;
  prefix: number;
}

/** The peer (IPv4, host order, signed) that a prefix lies behind. */
export interface Route extends Prefix {
  address: number;
}

/** Route changes, applied like FDB changes: [base, prefix] pairs, then [base, prefix, address] triples. */
export interface RoutesRequest {
  type: 'routes';
  id: number;
  remove: Int32Array;
  set: Int32Array;
}

export interface OwnMacRequest {
  type: 'own-mac';
  id: number;
  high: number;
  low: number;
}

/** The address of the device (IPv4, host order, signed). */
export interface OwnAddressRequest {
  type: 'own-address';
  id: number;
  address: number;
}

export interface LearnedRequest {
  type: 'learned';
  id: number;
}

export type Request = FdbRequest | RoutesRequest | OwnMacRequest | OwnAddressRequest | LearnedRequest;

export type Reply =
  | { type: 'started' }
  | { type: 'done'; id: number; learned?: LearnedEntry[] }
  | { type: 'stepped-down'; errno: number }
  | { type: 'failed'; port: 'overlay' | 'underlay'; errno: number };

/** Everything a worker needs; it opens nothing itself. */
export interface WorkerOptions {
  /** This worker's queue of the device, its UDP socket, and the sockets it sends through. */
  deviceFd: number;
  socketFd: number;
  senderFds: readonly number[];
  /** Whether these sockets are of IPv6. */
  ipv6: boolean;
  offload: Offload;
  /** Microseconds to go on looking for packets before blocking. */
  busyPoll: number;
  /** UDP port of every peer. */
  port: number;
  /** MTU of the overlay device, in bytes. */
  mtu: number;
  /** That of the pods behind it. */
  podMtu: number;
  tunnel: TunnelOptions;
  doorbell: DoorbellHandle;
  counters: SharedArrayBuffer;
}

/** What a Doorbell is made of, in a form that can be posted to another thread. */
export interface DoorbellHandle {
  eventFd: number;
  flags: SharedArrayBuffer;
}
