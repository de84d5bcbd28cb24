/**
 * The memory between a forwarding thread and the reader of a capture: a ring of records, written by the thread alone.
 *
 *     control words | record | record | …
 *
 * A record has a header of RECORD_SIZE bytes and the captured bytes, and is aligned to 8 bytes. Records never wrap: a
 * filler takes the rest of the ring. `HEAD` and `TAIL` count bytes and overflow like any 32-bit number.
 */

import type { UnderlayAddress } from '../../sys/sockaddr.js';

/** Bytes of records; a power of two. At 10 Gbit/s in one direction it lasts 7 ms. */
export const RING_SIZE = 8 * 1024 * 1024;
/** Bytes of control words in front of the records. */
export const CONTROL_SIZE = 64;

/** Indices of the control words (i32): bytes written and published, bytes read. */
export const HEAD = 0;
export const TAIL = 1;
/** Indices of the control words (f64): packets of each view that found no room. */
export const MISSED = 2;

/** The views of a packet: a frame of the overlay device, or a datagram of the tunnel. */
export const INNER = 0;
export const OUTER = 1;

/** Offsets in the header of a record. */
export const RECORD = {
  /** i32: bytes of the record. */
  size: 0,
  /** i32: captured bytes; FILLER in a filler, which has no further fields. */
  captured: 4,
  /** i32: bytes of the packet. */
  original: 8,
  /** i32: see KIND. */
  kind: 12,
  /** i32: the index of the counter that the packet is dropped under, or NOT_DROPPED. */
  reason: 16,
  /** i32: inbound, the peer's port; outbound, the number of the transmit socket. */
  port: 20,
  /** 16 bytes: the peer's address in network order; 4 bytes over IPv4. All zero if unknown. */
  peer: 24,
  /** f64: milliseconds since 1970. */
  time: 40,
} as const;
export const RECORD_SIZE = 48;
export const FILLER = -1;
export const NOT_DROPPED = -1;

/** Bits of `kind`. Above them: the TOS of the datagram, from bit 8 on. */
export const KIND = {
  outer: 1,
  inbound: 2,
  /** The tunnel has lowered the TTL of the IPv4 packet at the start of the captured bytes. */
  ttlLowered: 4,
} as const;
export const TOS_SHIFT = 8;

/** What a capture records. */
export interface CaptureFilter {
  readonly inner: boolean;
  readonly outer: boolean;
  /** Whether it records dropped packets only. */
  readonly drops: boolean;
  /** Most bytes of a packet. */
  readonly snaplen: number;
  /** The one peer whose packets it records; null for all packets. */
  readonly peer: UnderlayAddress | null;
}

/** Requests of control to a forwarding thread. */
export type CaptureRequest =
  | { type: 'capture'; ring: SharedArrayBuffer; filter: CaptureFilter }
  | { type: 'capture-end' };
