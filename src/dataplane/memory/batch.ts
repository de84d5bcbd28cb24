/**
 * A burst of packets on its way through the dataplane: parallel arrays of offsets into the arena, never objects.
 *
 * Ownership: a batch owns its slots. `clear` gives every slot back; whoever fills the batch writes a packet into slot
 * `count` and increments. A packet may move inside its slot (the headroom takes tunnel headers) and, when an earlier
 * packet is dropped, to a lower index; its bytes stay where the kernel put them.
 *
 * A packet is an inner frame, or a superpacket: one set of headers with the payload of many segments, as TSO and GRO
 * make them. `segmentSize` says which; whoever cannot carry superpackets segments them (offload/segment.ts).
 */

import type { Address } from '../../sys/ffi.js';
import type { Arena } from './arena.js';

/** Room in front of a packet for tunnel headers: the most is Ethernet, IPv6, UDP and VXLAN, 70 B; whole cache lines. */
export const HEADROOM = 128;

/** The layer-4 checksum is what the sender made it. */
export const CHECKSUM_COMPLETE = 0;
/** The layer-4 checksum field holds the pseudo-header's sum only; the sum over the rest is still owed. */
export const CHECKSUM_PARTIAL = 1;

/**
 * Slots one after the other at a power of two would all fall into the same few cache sets; one odd multiple of the
 * cache line more spreads them.
 */
export const STAGGER = 33 * 64;

export class PacketBatch {
  readonly capacity: number;
  /** Bytes a slot takes after the headroom. */
  readonly slotSize: number;
  count = 0;
  /** Arena offset of the packet's first byte. */
  readonly offset: Int32Array;
  /** Bytes. */
  readonly length: Int32Array;
  /**
   * The other VTEP, where to on the way out, where from on the way in: its IPv4 address, as a signed 32-bit number in host
   * order; over IPv6 the number that stands for its address (ipv6-addresses.ts).
   */
  readonly address: Int32Array;
  /** 0 for a single frame; of a superpacket, the bytes of layer-4 payload each of its segments takes. */
  readonly segmentSize: Int32Array;
  /** CHECKSUM_COMPLETE or CHECKSUM_PARTIAL. */
  readonly checksum: Uint8Array;
  /** The outer header's TOS or traffic class: as it is to be sent, or as it came. */
  readonly tos: Uint8Array;
  /** Hash of the inner flow: packets of one flow have the same. Set on the way out. */
  readonly flow: Int32Array;
  private readonly first: number;
  private readonly stride: number;
  private readonly arena: Arena;

  /** `slotSize` 0 for a batch that is filled by a port with buffers of its own: it has no slots. */
  constructor(arena: Arena, capacity: number, slotSize: number) {
    this.arena = arena;
    this.capacity = capacity;
    this.slotSize = slotSize;
    this.stride = PacketBatch.stride(slotSize);
    this.first = arena.reserve(capacity * this.stride) + HEADROOM;
    this.offset = new Int32Array(capacity);
    this.length = new Int32Array(capacity);
    this.address = new Int32Array(capacity);
    this.segmentSize = new Int32Array(capacity);
    this.checksum = new Uint8Array(capacity);
    this.tos = new Uint8Array(capacity);
    this.flow = new Int32Array(capacity);
  }

  /** Bytes of arena that a batch takes. */
  static footprint(capacity: number, slotSize: number): number {
    return capacity * PacketBatch.stride(slotSize);
  }

  private static stride(slotSize: number): number {
    if (slotSize === 0) return 0;
    return Math.ceil((HEADROOM + slotSize) / 64) * 64 + STAGGER;
  }

  /** Arena offset of slot `index`, after its headroom. */
  slot(index: number): number {
    return this.first + index * this.stride;
  }

  /** Absolute addresses of all slots, `headroom` bytes before each. Set-up only. */
  slotAddresses(headroom: number): Address[] {
    return Array.from({ length: this.capacity }, (_, index) =>
      this.arena.address(this.slot(index) - headroom),
    );
  }

  clear(): void {
    this.count = 0;
  }

  /** Describes the single, complete packet at arena offset `offset` as packet `index`. */
  put(index: number, offset: number, length: number): void {
    this.offset[index] = offset;
    this.length[index] = length;
    this.address[index] = 0;
    this.segmentSize[index] = 0;
    this.checksum[index] = CHECKSUM_COMPLETE;
    this.tos[index] = 0;
    this.flow[index] = 0;
  }

  /** Moves what is known of packet `from` to index `to` <= `from`; used to close the gap a dropped packet leaves. */
  move(from: number, to: number): void {
    if (from === to) return;
    this.offset[to] = this.offset[from];
    this.length[to] = this.length[from];
    this.address[to] = this.address[from];
    this.segmentSize[to] = this.segmentSize[from];
    this.checksum[to] = this.checksum[from];
    this.tos[to] = this.tos[from];
    this.flow[to] = this.flow[from];
  }
}
