/**
 * Records packets for a capture. Each forwarding thread has one recorder. While no capture runs, `on` is false. The
 * thread asks for it once per burst, and where it drops a packet.
 *
 * A recorder allocates only when a capture begins. It copies a packet into the ring, or counts it as missed if the reader
 * has left no room; it never waits. What it wrote becomes visible at the end of a round (`publish`), so that a packet that
 * the device refuses afterwards still gets its reason.
 */

import { isIpv6Address } from '../../sys/sockaddr.js';
import { wallClock } from '../../sys/wall-clock.js';
import type { SendTable } from '../io/send-table.js';
import type { PacketBatch } from '../memory/batch.js';
import type { Ipv6Addresses } from '../tunnel/ipv6-addresses.js';
import {
  type CaptureFilter,
  CONTROL_SIZE,
  FILLER,
  HEAD,
  INNER,
  KIND,
  MISSED,
  NOT_DROPPED,
  OUTER,
  RECORD,
  RECORD_SIZE,
  RING_SIZE,
  TAIL,
  TOS_SHIFT,
} from './layout.js';

export interface RecorderOptions {
  /** The arena of the thread. */
  view: DataView;
  /** Bytes of tunnel header in front of each inner packet. */
  headerLength: number;
  /** Whether the tunnel lowers the TTL of the packets it forwards. */
  lowersTtl: boolean;
  /** The largest batch that is received from the underlay. */
  maxInbound: number;
  /** The numbers of the peers' addresses, where the underlay is IPv6. */
  ipv6Addresses?: Ipv6Addresses | undefined;
  /** Returns the source port of the datagram at an arena offset of the present batch. */
  sourcePort?: (offset: number) => number;
}

const MASK = RING_SIZE - 1;
const WORDS = 4;

export class Recorder {
  /** For code that no capture observes, such as that of a test. */
  static readonly NONE = new Recorder({
    view: new DataView(new ArrayBuffer(0)),
    headerLength: 0,
    lowersTtl: false,
    maxInbound: 0,
  });

  /** Whether a capture runs. */
  on = false;
  private readonly options: RecorderOptions;
  private readonly source: DataView;
  private inner = false;
  private outer = false;
  private drops = false;
  private snaplen = 0;
  private filtered = false;
  /** The address of the filter's peer: its number over IPv4, or raw words in network order. */
  private readonly peer = new Int32Array(WORDS);
  private readonly scratch = new Int32Array(WORDS);
  /** The ring. Without a capture it has no bytes. */
  private control: Int32Array = new Int32Array(0);
  private missed: Float64Array = new Float64Array(0);
  private words: Int32Array = new Int32Array(0);
  private ring: DataView = new DataView(new ArrayBuffer(0));
  /** Bytes written, published or not, and bytes that the reader had read when it was last asked. */
  private head = 0;
  private tail = 0;
  /** The open record: its place, and its captured bytes so far and in the end. */
  private at = 0;
  private filled = 0;
  private captured = 0;
  /** The time of this round in one direction, and whether it is known yet. */
  private readonly time = new Float64Array(1);
  private timed = false;
  private epoch = 0;
  /** The batch on its way to the device, and per packet the place of its inner record; -1 without one. */
  private written: PacketBatch | undefined;
  private readonly places: Int32Array;

  constructor(options: RecorderOptions) {
    this.options = options;
    this.source = options.view;
    this.places = new Int32Array(options.maxInbound);
  }

  /** Starts a capture, in place of the one that runs. */
  begin(ring: SharedArrayBuffer, filter: CaptureFilter): void {
    this.control = new Int32Array(ring, 0, CONTROL_SIZE / 4);
    this.missed = new Float64Array(ring, 0, CONTROL_SIZE / 8);
    this.words = new Int32Array(ring, CONTROL_SIZE, RING_SIZE / 4);
    this.ring = new DataView(ring, CONTROL_SIZE, RING_SIZE);
    // An earlier worker of this thread may have written records.
    this.head = Atomics.load(this.control, HEAD);
    this.tail = Atomics.load(this.control, TAIL);
    this.inner = filter.inner;
    this.outer = filter.outer;
    this.drops = filter.drops;
    this.snaplen = filter.snaplen;
    this.filtered = filter.peer !== null;
    const { peer } = filter;
    if (peer !== null && isIpv6Address(peer)) {
      const view = new DataView(this.peer.buffer);
      peer.forEach((word, index) => view.setInt32(4 * index, word));
    } else if (peer !== null) {
      this.peer[0] = peer;
    }
    this.epoch = wallClock() - performance.now();
    this.timed = false;
    this.on = true;
  }

  end(): void {
    this.on = false;
    this.control = new Int32Array(0);
    this.missed = new Float64Array(0);
    this.words = new Int32Array(0);
    this.ring = new DataView(new ArrayBuffer(0));
    this.written = undefined;
  }

  /** Shows the reader what was recorded in this round. */
  publish(): void {
    Atomics.store(this.control, HEAD, this.head);
    this.timed = false;
    this.written = undefined;
  }

  /** Records the frames of a batch that has been encapsulated. */
  outbound(batch: PacketBatch): void {
    if (this.drops || !this.inner) return;
    const { headerLength, lowersTtl } = this.options;
    const kind = lowersTtl ? KIND.ttlLowered : 0;
    for (let i = 0; i < batch.count; i++) {
      this.record(kind, batch.offset[i] + headerLength, batch.length[i] - headerLength, batch.address[i]);
    }
  }

  /** Records the datagrams and the frames of a batch that has been decapsulated and goes to the device. */
  inbound(batch: PacketBatch): void {
    const { headerLength, lowersTtl } = this.options;
    const outer = KIND.outer | KIND.inbound | (lowersTtl ? KIND.ttlLowered : 0);
    this.written = batch;
    // A reply in the round of its request is later.
    this.timed = false;
    for (let i = 0; i < batch.count; i++) {
      this.places[i] = -1;
      if (this.drops) continue;
      const offset = batch.offset[i];
      const length = batch.length[i];
      const address = batch.address[i];
      if (this.outer) {
        const kind = outer | (batch.tos[i] << TOS_SHIFT);
        this.record(kind, offset - headerLength, length + headerLength, address, this.portOf(offset));
      }
      if (this.inner && this.record(KIND.inbound, offset, length, address)) this.places[i] = this.at;
    }
  }

  /** Records error messages of the tunnel, which go to the device or to the peers. */
  replies(batch: PacketBatch, inbound: boolean): void {
    this.written = undefined;
    if (this.drops || !this.inner) return;
    for (let i = 0; i < batch.count; i++) {
      this.record(inbound ? KIND.inbound : 0, batch.offset[i], batch.length[i], batch.address[i]);
    }
  }

  /**
   * Records the datagrams of messages that were sent through a transmit socket; or dropped, if `reason` is a counter. A GSO
   * run is recorded as its datagrams.
   */
  datagrams(messages: SendTable, from: number, to: number, txSocket: number, reason = NOT_DROPPED): void {
    if (!this.outer || (this.drops && reason === NOT_DROPPED)) return;
    for (let i = from; i < to; i++) {
      const address = messages.address[i];
      if (!this.accepts(address)) continue;
      const kind = KIND.outer | (messages.tos[i] << TOS_SHIFT);
      let piece = messages.firstPiece[i];
      // No piece spans two datagrams.
      for (let rest = messages.bytes[i]; rest > 0; rest -= messages.datagramSize[i]) {
        const length = Math.min(rest, messages.datagramSize[i]);
        const opened = this.open(kind, length, address, txSocket, reason);
        for (let used = 0; used < length; piece++) {
          if (opened) this.append(messages.pieceOffset[piece], messages.pieceLength[piece]);
          used += messages.pieceLength[piece];
        }
      }
    }
  }

  /** Records a frame of the device that is dropped. `address`: its peer; 0 if unknown. */
  dropFrame(offset: number, length: number, reason: number, address = 0): void {
    if (this.inner) this.record(0, offset, length, address, 0, reason);
  }

  /** Records a datagram of the underlay that is dropped. */
  dropDatagram(offset: number, length: number, reason: number, address: number, tos: number): void {
    const kind = KIND.outer | KIND.inbound | (tos << TOS_SHIFT);
    if (this.outer) this.record(kind, offset, length, address, this.portOf(offset), reason);
  }

  /** Marks the frame that has the byte at arena offset `at` as refused by the device, or records it. */
  refuseFrame(at: number, reason: number): void {
    const batch = this.written;
    if (batch === undefined || !this.inner) return;
    for (let i = 0; i < batch.count; i++) {
      const first = batch.offset[i];
      if (at < first || at >= first + batch.length[i]) continue;
      if (this.places[i] >= 0) this.words[(this.places[i] + RECORD.reason) >> 2] = reason;
      else if (this.record(KIND.inbound, first, batch.length[i], batch.address[i], 0, reason))
        this.places[i] = this.at;
      return;
    }
  }

  private portOf(offset: number): number {
    return this.options.sourcePort?.(offset) ?? 0;
  }

  /** Returns whether the packet is recorded: it is of the filter's peer, and there is room. */
  private record(
    kind: number,
    offset: number,
    length: number,
    address: number,
    port = 0,
    reason = NOT_DROPPED,
  ): boolean {
    if (!this.accepts(address) || !this.open(kind, length, address, port, reason)) return false;
    this.append(offset, length);
    return true;
  }

  private accepts(address: number): boolean {
    const { peer, scratch } = this;
    if (!this.filtered) return true;
    if (address === 0) return false;
    const { ipv6Addresses } = this.options;
    if (ipv6Addresses === undefined) return address === peer[0];
    ipv6Addresses.write(address, scratch, 0);
    for (let i = 0; i < WORDS; i++) if (scratch[i] !== peer[i]) return false;
    return true;
  }

  /** Begins a record of a packet of `length` bytes; returns false and counts it if there is no room. */
  private open(kind: number, length: number, address: number, port: number, reason: number): boolean {
    const captured = Math.min(length, this.snaplen);
    const size = (RECORD_SIZE + captured + 7) & ~7;
    const rest = RING_SIZE - (this.head & MASK);
    const needed = size <= rest ? size : rest + size;
    if (!this.hasRoom(needed)) {
      this.missed[MISSED + ((kind & KIND.outer) !== 0 ? OUTER : INNER)]++;
      return false;
    }
    const { words } = this;
    if (size > rest) {
      const filler = (this.head & MASK) >> 2;
      words[filler] = rest;
      words[filler + 1] = FILLER;
      this.head = (this.head + rest) | 0;
    }
    if (!this.timed) {
      this.time[0] = this.epoch + performance.now();
      this.timed = true;
    }
    const at = this.head & MASK;
    const word = at >> 2;
    words[word] = size;
    words[word + (RECORD.captured >> 2)] = captured;
    words[word + (RECORD.original >> 2)] = length;
    words[word + (RECORD.kind >> 2)] = kind;
    words[word + (RECORD.reason >> 2)] = reason;
    words[word + (RECORD.port >> 2)] = port;
    this.writePeer(at + RECORD.peer, address);
    this.ring.setFloat64(at + RECORD.time, this.time[0], true);
    this.head = (this.head + size) | 0;
    this.at = at;
    this.filled = 0;
    this.captured = captured;
    return true;
  }

  private writePeer(at: number, address: number): void {
    const { ipv6Addresses } = this.options;
    if (ipv6Addresses !== undefined && address !== 0) {
      ipv6Addresses.write(address, this.words, at >> 2);
      return;
    }
    this.ring.setInt32(at, address);
    for (let i = 1; i < WORDS; i++) this.words[(at >> 2) + i] = 0;
  }

  private hasRoom(bytes: number): boolean {
    if (((this.head - this.tail) | 0) + bytes <= RING_SIZE) return true;
    this.tail = Atomics.load(this.control, TAIL);
    return ((this.head - this.tail) | 0) + bytes <= RING_SIZE;
  }

  /** Copies `length` bytes at arena offset `offset` into the open record, as far as it captures them. */
  private append(offset: number, length: number): void {
    const { source, ring } = this;
    const to = this.at + RECORD_SIZE + this.filled;
    const count = Math.min(length, this.captured - this.filled);
    // A copy by TypedArray.set would allocate a view per packet.
    let i = 0;
    for (; i + 4 <= count; i += 4) ring.setInt32(to + i, source.getInt32(offset + i, true), true);
    for (; i < count; i++) ring.setUint8(to + i, source.getUint8(offset + i));
    this.filled += count;
  }
}
