/**
 * A burst of packets on its way through the dataplane: parallel arrays, with the packets' bytes in the arena.
 *
 * Ownership: a batch owns its slots. The port that fills the batch writes packets into the slots from 0 on and sets
 * `count`; `clear` frees every slot. A packet may grow into the headroom of its slot, which has room for tunnel
 * headers. When an earlier packet is dropped, it moves to a lower index; its bytes stay where the kernel wrote them.
 *
 * A packet is an inner frame, or a superpacket: one set of headers with the payload of many segments, as TSO and GRO
 * make them. `gsoSize` distinguishes the two. A port that cannot carry superpackets segments them (offload/segment.ts).
 */

import type { Address } from '../../sys/ffi.js';
import type { Arena } from './arena.js';
import { InnerHeaders } from './inner-headers.js';

/** Room in front of a packet for tunnel headers: Ethernet, IPv6, UDP and VXLAN need 70 bytes; whole cache lines. */
export const HEADROOM = 128;

/** The layer-4 checksum field holds a checksum, right or wrong. */
export const CHECKSUM_COMPLETE = 0;
/** The layer-4 checksum field holds only the pseudo-header's sum; the rest is not summed yet. */
export const CHECKSUM_PARTIAL = 1;

/**
 * Extra distance between slots, an odd multiple of the cache line. Slots at multiples of a power of two would all fall
 * into the same few cache sets.
 */
export const STAGGER = 33 * 64;

/** How far the headers of a packet have been parsed. */
const UNPARSED = 0;
const IP_PARSED = 1;
const PARSED = 2;

export class PacketBatch {
  readonly capacity: number;
  /** Bytes of a slot, without its headroom. */
  readonly slotSize: number;
  count = 0;
  /** Arena offset of the packet's first byte. */
  readonly offset: Int32Array;
  /** Bytes. */
  readonly length: Int32Array;
  /**
   * The peer: destination on the way out, source on the way in. An IPv4 address as a signed 32-bit number in host
   * order; over IPv6 the number that stands for the address (ipv6-addresses.ts).
   */
  readonly address: Int32Array;
  /** 0 for a single packet; for a superpacket, the bytes of layer-4 payload of each segment. */
  readonly gsoSize: Int32Array;
  /** CHECKSUM_COMPLETE or CHECKSUM_PARTIAL. */
  readonly checksum: Uint8Array;
  /** TOS or traffic class of the outer header, to be sent or as received. */
  readonly tos: Uint8Array;
  /** Hash of the inner flow, equal for all its packets. Set on the way out. */
  readonly flow: Int32Array;
  /** The headers of the inner packet, once `locate` or `locateIp` has parsed them. */
  readonly headers: InnerHeaders[];
  private readonly parsed: Uint8Array;
  private readonly first: number;
  private readonly stride: number;
  private readonly arena: Arena;

  /** `slotSize` is 0 for a batch without slots, which a port with buffers of its own fills. */
  constructor(arena: Arena, capacity: number, slotSize: number) {
    this.arena = arena;
    this.capacity = capacity;
    this.slotSize = slotSize;
    this.stride = PacketBatch.stride(slotSize);
    this.first = arena.reserve(capacity * this.stride) + HEADROOM;
    this.offset = new Int32Array(capacity);
    this.length = new Int32Array(capacity);
    this.address = new Int32Array(capacity);
    this.gsoSize = new Int32Array(capacity);
    this.checksum = new Uint8Array(capacity);
    this.tos = new Uint8Array(capacity);
    this.flow = new Int32Array(capacity);
    this.headers = Array.from({ length: capacity }, () => new InnerHeaders());
    this.parsed = new Uint8Array(capacity);
  }

  /** Returns the bytes of arena that a batch needs. */
  static footprint(capacity: number, slotSize: number): number {
    return capacity * PacketBatch.stride(slotSize);
  }

  private static stride(slotSize: number): number {
    if (slotSize === 0) return 0;
    return Math.ceil((HEADROOM + slotSize) / 64) * 64 + STAGGER;
  }

  /** Returns the arena offset of slot `index`, after its headroom. */
  slot(index: number): number {
    return this.first + index * this.stride;
  }

  /** Returns the absolute addresses of all slots, each less `headroom` bytes. Set-up only. */
  slotAddresses(headroom: number): Address[] {
    return Array.from({ length: this.capacity }, (_, index) =>
      this.arena.address(this.slot(index) - headroom),
    );
  }

  clear(): void {
    this.count = 0;
  }

  /**
   * Makes packet `index` the single packet of `length` bytes at arena offset `offset`, and resets everything else known
   * about it except `flow`.
   */
  set(index: number, offset: number, length: number, address = 0, tos = 0): void {
    this.offset[index] = offset;
    this.length[index] = length;
    this.address[index] = address;
    this.gsoSize[index] = 0;
    this.checksum[index] = CHECKSUM_COMPLETE;
    this.tos[index] = tos;
    this.parsed[index] = UNPARSED;
  }

  /** Moves packet `from` to index `to` <= `from`, which closes the gap that a dropped packet leaves. */
  move(from: number, to: number): void {
    if (from === to) return;
    this.offset[to] = this.offset[from];
    this.length[to] = this.length[from];
    this.address[to] = this.address[from];
    this.gsoSize[to] = this.gsoSize[from];
    this.checksum[to] = this.checksum[from];
    this.tos[to] = this.tos[from];
    this.flow[to] = this.flow[from];
    const headers = this.headers[to];
    this.headers[to] = this.headers[from];
    this.headers[from] = headers;
    this.parsed[to] = this.parsed[from];
  }

  /**
   * Locates the TCP or UDP header of packet `index`, behind `tunnelLength` bytes of tunnel header and with `linkLength`
   * bytes of link header (see InnerHeaders). Returns false unless the packet is whole, unfragmented TCP or UDP over IP.
   *
   * A packet is parsed once: the first stage that needs its headers parses them, later stages use `headers[index]`.
   */
  locate(index: number, tunnelLength: number, linkLength: number): boolean {
    const headers = this.headers[index];
    if (this.parsed[index] !== PARSED) {
      if (this.locateIp(index, tunnelLength, linkLength)) {
        const packet = this.offset[index] + tunnelLength;
        headers.parseTransport(this.arena.view, packet, this.length[index] - tunnelLength);
      }
      this.parsed[index] = PARSED;
    }
    return headers.transport > 0;
  }

  /** Locates the IP header of packet `index` in the same way, with any payload. Returns false without an IP header. */
  locateIp(index: number, tunnelLength: number, linkLength: number): boolean {
    const headers = this.headers[index];
    if (this.parsed[index] === UNPARSED) {
      const packet = this.offset[index] + tunnelLength;
      headers.parseIp(this.arena.view, packet, this.length[index] - tunnelLength, linkLength);
      this.parsed[index] = IP_PARSED;
    }
    return headers.ip >= 0;
  }

  /** Returns the packets on the wire of packet `index`, which has been located if it is a superpacket. */
  segments(index: number, gsoSize = this.gsoSize[index]): number {
    if (gsoSize === 0) return 1;
    const { transport, transportLength, headersLength } = this.headers[index];
    return Math.max(1, Math.ceil((transport + transportLength - headersLength) / gsoSize));
  }

  /**
   * Returns the bytes of these packets without tunnel headers: each segment has all headers of the inner packet. `length`:
   * bytes of packet `index` without tunnel header.
   */
  wireBytes(index: number, length: number, gsoSize = this.gsoSize[index]): number {
    if (gsoSize === 0) return length;
    const { transport, transportLength, headersLength } = this.headers[index];
    return transport + transportLength + (this.segments(index, gsoSize) - 1) * headersLength;
  }

  /** Discards what `locate` found, for a packet whose length has changed. */
  forgetHeaders(index: number): void {
    this.parsed[index] = UNPARSED;
  }
}
