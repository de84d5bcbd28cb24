/**
 * Superpackets of so many segments that one would fill a round. They wait here while other packets pass, and leave in
 * slices of MAX_SHARE segments, one slice a round. A pod with CAP_NET_RAW may choose any segment size: 64 KB in segments
 * of 8 bytes are 8000 datagrams.
 *
 * Packets of a flow keep their order: while some wait, the later ones of their flow wait too. A full backlog accepts no
 * packet.
 */

import type { Address } from '../../sys/ffi.js';
import type { Arena } from '../memory/arena.js';
import { PacketBatch } from '../memory/batch.js';
import { MAX_HEADERS } from '../offload/segment.js';
import { ipv4Identification, replaceIpv4Length } from '../wire/ipv4.js';
import { IPV6_LENGTH, setIpv6PayloadLength } from '../wire/ipv6.js';
import {
  setTcpFlags,
  setTcpSequence,
  TCP_CWR,
  TCP_FIN,
  TCP_PSH,
  tcpFlags,
  tcpSequence,
} from '../wire/tcp.js';

/** Most segments of a superpacket that does not wait, and of a slice: 64 KB in segments of 512 bytes. */
export const MAX_SHARE = 128;
/** Packets that wait at most. */
const CAPACITY = 16;
/** Segments that wait at most: one superpacket of the smallest segments, or eleven of 88 bytes. */
const MAX_SEGMENTS = 8192;
/** Bytes between the stored headers of two packets. */
const HEADERS_STRIDE = 144;

export class Backlog {
  /** Packets that wait. */
  count = 0;
  /** Segments that wait. */
  private segments = 0;
  private readonly arena: Arena;
  /** The packets, a ring from `first` on. */
  private readonly packets: PacketBatch;
  private first = 0;
  /** Segments of the first packet that have left. */
  private left = 0;
  /** Per packet: the memory it lies in. An empty place has memory too. */
  private readonly frames: Int32Array;
  private readonly addresses: Address[];
  /** Per packet: a copy of its headers. The stages behind change those of every slice. */
  private readonly headers: number;

  /** Exchanges memory with slots of `slotSize` bytes; `headroom` as in PacketBatch.slotAddresses. */
  constructor(arena: Arena, slotSize: number, headroom: number) {
    this.arena = arena;
    this.packets = new PacketBatch(arena, CAPACITY, slotSize);
    this.frames = Int32Array.from({ length: CAPACITY }, (_, index) => this.packets.slot(index));
    this.addresses = this.packets.slotAddresses(headroom);
    this.headers = arena.reserve(CAPACITY * HEADERS_STRIDE);
  }

  /** Returns the bytes of arena that a backlog needs. */
  static footprint(slotSize: number): number {
    return PacketBatch.footprint(CAPACITY, slotSize) + CAPACITY * HEADERS_STRIDE + 64;
  }

  /** Returns whether packets of a flow wait. */
  holds(flow: number): boolean {
    for (let i = 0; i < this.count; i++) if (this.packets.flow[this.place(i)] === flow) return true;
    return false;
  }

  /**
   * Takes packet `index` of `batch`, which belongs to `flow` and has been located if it is a superpacket. Its memory,
   * `frames[index]` with its address in `addresses[index]`, is exchanged. Returns false when there is no room.
   */
  add(batch: PacketBatch, index: number, flow: number, frames: Int32Array, addresses: Address[]): boolean {
    const { packets } = this;
    const segments = batch.segments(index);
    if (this.count === CAPACITY || this.segments + segments > MAX_SEGMENTS) return false;
    this.segments += segments;
    const place = this.place(this.count++);
    packets.set(place, batch.offset[index], batch.length[index]);
    packets.gsoSize[place] = batch.gsoSize[index];
    packets.checksum[place] = batch.checksum[index];
    packets.flow[place] = flow;
    const headers = packets.headers[place];
    packets.headers[place] = batch.headers[index];
    batch.headers[index] = headers;
    const frame = this.frames[place];
    this.frames[place] = frames[index];
    frames[index] = frame;
    const address = this.addresses[place];
    this.addresses[place] = addresses[index];
    addresses[index] = address;
    if (packets.gsoSize[place] > 0) this.copyHeaders(packets.offset[place], this.stored(place), place);
    return true;
  }

  /** Appends the first packet that waits to `batch`, or a slice of it. Its memory stays in use until the next `add`. */
  release(batch: PacketBatch): void {
    if (this.count === 0) return;
    const { packets, first } = this;
    const index = batch.count++;
    const gsoSize = packets.gsoSize[first];
    const segments = packets.segments(first);
    if (segments <= MAX_SHARE) batch.set(index, packets.offset[first], packets.length[first]);
    else this.cut(batch, index, segments);
    batch.gsoSize[index] = gsoSize;
    batch.checksum[index] = packets.checksum[first];
    this.left += MAX_SHARE;
    if (this.left < segments) return;
    this.left = 0;
    this.segments -= segments;
    this.first = (first + 1) % CAPACITY;
    this.count--;
  }

  private place(index: number): number {
    return (this.first + index) % CAPACITY;
  }

  private stored(place: number): number {
    return this.headers + place * HEADERS_STRIDE;
  }

  /**
   * Makes packet `index` of `batch` of the next slice of the first packet, a TCP superpacket. Its headers overwrite payload
   * that has left.
   */
  private cut(batch: PacketBatch, index: number, segments: number): void {
    const { packets, first, left } = this;
    const { view } = this.arena;
    const headers = packets.headers[first];
    const start = left * packets.gsoSize[first];
    // Bytes behind the IP packet are no payload.
    const end = headers.transport + headers.transportLength - headers.headersLength;
    const payload = Math.min(MAX_SHARE * packets.gsoSize[first], end - start);
    const packet = packets.offset[first] + start;
    this.copyHeaders(this.stored(first), packet, first);
    batch.set(index, packet, headers.headersLength + payload);
    const ip = packet + headers.ip;
    const transport = packet + headers.transport;
    const ipPayload = headers.headersLength + payload - headers.ip;
    if (headers.isIpv6) {
      setIpv6PayloadLength(view, ip, ipPayload - IPV6_LENGTH);
    } else {
      // The tunnel may quote the header in an ICMP error.
      replaceIpv4Length(view, ip, ipPayload, (ipv4Identification(view, ip) + left) & 0xffff);
    }
    setTcpSequence(view, transport, (tcpSequence(view, transport) + start) | 0);
    let flags = tcpFlags(view, transport);
    if (left + MAX_SHARE < segments) flags &= ~(TCP_FIN | TCP_PSH);
    if (left > 0) flags &= ~TCP_CWR;
    setTcpFlags(view, transport, flags);
  }

  private copyHeaders(from: number, to: number, place: number): void {
    const { bytes } = this.arena;
    const length = Math.min(this.packets.headers[place].headersLength, MAX_HEADERS);
    for (let i = 0; i < length; i++) bytes[to + i] = bytes[from + i];
  }
}
