/**
 * What a round takes from the device, from docs/architecture.md: at most a batch, and superpackets of many segments wait
 * for later rounds. Packets of their flow wait behind them.
 */

import {
  changeIpv4Word,
  flowOf,
  type Inner,
  LONGEST_HEADERS,
  parse,
  put16,
  put32,
  segmentCount,
  TCP,
  u16,
  u32,
} from './wire.js';

/** A round ends at so many packets, bytes of reads, and datagrams. */
const ROUND_PACKETS = 64;
const ROUND_BYTES = 512 * 1024;
const ROUND_DATAGRAMS = 512;
/** Segments of one superpacket in a round. */
const SHARE = 128;
/** Packets that may wait, and their segments. */
const MAX_WAITING = 16;
const MAX_WAITING_SEGMENTS = 8192;

interface Sink {
  send(frame: Uint8Array, gsoSize: number): void;
  count(name: string): void;
}

/** A packet that waits, in the pieces that leave one a round. */
interface Waiting {
  flow: string | undefined;
  gsoSize: number;
  segments: number;
  pieces: Uint8Array[];
}

export class OutboundQueue {
  private readonly waits: boolean;
  private readonly link: number;
  private readonly sink: Sink;
  private readonly waiting: Waiting[] = [];
  private packets = 0;
  private bytes = 0;
  private datagrams = 0;

  /** `waits`: whether packets may wait, which is so at level gso. */
  constructor(waits: boolean, link: number, sink: Sink) {
    this.waits = waits;
    this.link = link;
    this.sink = sink;
  }

  get isEmpty(): boolean {
    return this.waiting.length === 0;
  }

  /** Whether the round takes another read. */
  get hasRoom(): boolean {
    const places = ROUND_PACKETS - (this.isEmpty ? 0 : 1);
    if (this.packets >= places) return false;
    return !this.waits || (this.bytes < ROUND_BYTES && this.datagrams < ROUND_DATAGRAMS);
  }

  begin(): void {
    this.packets = 0;
    this.bytes = 0;
    this.datagrams = 0;
  }

  /** Sends the packet that waits longest, or its next piece. */
  end(): void {
    const [first] = this.waiting;
    if (first === undefined) return;
    const [piece] = first.pieces.splice(0, 1);
    if (piece !== undefined) this.sink.send(piece, first.gsoSize);
    if (first.pieces.length === 0) this.waiting.shift();
  }

  /** Takes a read of `bytes` bytes without a packet for the underlay. */
  skip(bytes: number): void {
    this.bytes += bytes;
  }

  /** Takes a packet from a read of `bytes` bytes: sends it, lets it wait or drops it. */
  add(frame: Uint8Array, gsoSize: number, bytes: number): void {
    this.bytes += bytes;
    const datagrams = gsoSize === 0 ? 1 : Math.ceil(frame.length / gsoSize);
    if (this.waits && (datagrams > SHARE || !this.isEmpty) && !this.passes(frame, gsoSize)) return;
    this.packets++;
    this.datagrams += datagrams;
    this.sink.send(frame, gsoSize);
  }

  private passes(frame: Uint8Array, gsoSize: number): boolean {
    const inner = parse(frame, this.link);
    const flow = flowOf(frame, inner);
    const segments = segmentCount(inner, gsoSize);
    const isMany = gsoSize > 0 && (inner.l4 === 0 || segments > SHARE);
    const follows = flow !== undefined && this.waiting.some((other) => other.flow === flow);
    if (!isMany && !follows) return true;
    const used = this.waiting.reduce((sum, other) => sum + other.segments, 0);
    if (isMany && (inner.protocol !== TCP || inner.payload > LONGEST_HEADERS)) {
      this.sink.count('tx_drop_unsegmentable');
    } else if (this.waiting.length === MAX_WAITING || used + segments > MAX_WAITING_SEGMENTS) {
      this.sink.count('tx_drop_backlog_full');
    } else {
      const pieces = segments > SHARE ? slices(frame, inner, SHARE * gsoSize) : [frame];
      this.waiting.push({ flow, gsoSize, segments, pieces });
    }
    return false;
  }
}

/**
 * Returns the TCP superpackets of `size` bytes of payload each that together are this one. Bytes behind the IP packet
 * belong to none.
 */
function slices(packet: Uint8Array, { ip, v6, l4, payload, end }: Inner, size: number): Uint8Array[] {
  const count = Math.ceil((end - payload) / size);
  return Array.from({ length: count }, (_, index) => {
    const from = payload + index * size;
    const data = packet.subarray(from, Math.min(from + size, end));
    const slice = new Uint8Array(payload + data.length);
    slice.set(packet.subarray(0, payload));
    slice.set(data, payload);
    if (v6) {
      put16(slice, ip + 4, slice.length - ip - 40);
    } else {
      changeIpv4Word(slice, ip, 2, slice.length - ip);
      changeIpv4Word(slice, ip, 4, (u16(packet, ip + 4) + index * SHARE) % 65536);
    }
    put32(slice, l4 + 4, (u32(packet, l4 + 4) + index * size) % 2 ** 32);
    if (index < count - 1) slice[l4 + 13] &= 0xff - 0x01 - 0x08;
    if (index > 0) slice[l4 + 13] &= 0xff - 0x80;
    return slice;
  });
}
