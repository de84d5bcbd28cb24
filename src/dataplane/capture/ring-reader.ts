/** The reader of a ring (layout.ts): the main thread takes the records of one forwarding thread in order. */

import { discardPages } from '../../sys/pages.js';
import {
  CONTROL_SIZE,
  FILLER,
  HEAD,
  INNER,
  KIND,
  MISSED,
  OUTER,
  RECORD,
  RECORD_SIZE,
  RING_SIZE,
  TAIL,
  TOS_SHIFT,
} from './layout.js';

/** A captured packet. Its bytes are valid until the next one is read from the same ring. */
export interface CapturedPacket {
  isOuter: boolean;
  isInbound: boolean;
  ttlLowered: boolean;
  tos: number;
  /** The index of the counter it was dropped under; NOT_DROPPED otherwise. */
  reason: number;
  /** Inbound the peer's port, outbound the number of the transmit socket. */
  port: number;
  /** 16 bytes, in network order; IPv4 uses the first four. */
  peer: Uint8Array;
  /** Milliseconds since 1970. */
  time: number;
  original: number;
  bytes: Uint8Array;
}

/** Returns the memory of a ring. */
export function createRing(): SharedArrayBuffer {
  return new SharedArrayBuffer(CONTROL_SIZE + RING_SIZE);
}

export class RingReader {
  private readonly control: Int32Array;
  private readonly missedCounts: Float64Array;
  private readonly words: Int32Array;
  private readonly view: DataView;
  private readonly ring: SharedArrayBuffer;
  private tail: number;

  constructor(ring: SharedArrayBuffer) {
    this.ring = ring;
    this.control = new Int32Array(ring, 0, CONTROL_SIZE / 4);
    this.missedCounts = new Float64Array(ring, 0, CONTROL_SIZE / 8);
    this.words = new Int32Array(ring, CONTROL_SIZE, RING_SIZE / 4);
    this.view = new DataView(ring, CONTROL_SIZE, RING_SIZE);
    this.tail = Atomics.load(this.control, TAIL);
  }

  /** Returns how many packets of a view found no room. */
  missed(isOuter: boolean): number {
    return this.missedCounts[MISSED + (isOuter ? OUTER : INNER)];
  }

  /** Returns the time of the next packet; undefined if none waits. */
  peek(): number | undefined {
    const head = Atomics.load(this.control, HEAD);
    while (this.tail !== head) {
      const at = this.place;
      if (this.words[(at + RECORD.captured) >> 2] !== FILLER)
        return this.view.getFloat64(at + RECORD.time, true);
      this.advance();
    }
    return undefined;
  }

  /** Returns the packet that `peek` has found. `release` frees its memory. */
  read(): CapturedPacket {
    const at = this.place;
    const field = (offset: number): number => this.words[(at + offset) >> 2];
    const kind = field(RECORD.kind);
    return {
      isOuter: (kind & KIND.outer) !== 0,
      isInbound: (kind & KIND.inbound) !== 0,
      ttlLowered: (kind & KIND.ttlLowered) !== 0,
      tos: (kind >> TOS_SHIFT) & 0xff,
      reason: field(RECORD.reason),
      port: field(RECORD.port),
      peer: this.slice(at + RECORD.peer, 16),
      time: this.view.getFloat64(at + RECORD.time, true),
      original: field(RECORD.original),
      bytes: this.slice(at + RECORD_SIZE, field(RECORD.captured)),
    };
  }

  /** Frees the memory of the packet that was read. */
  release(): void {
    this.advance();
    Atomics.store(this.control, TAIL, this.tail);
  }

  /** Discards the records once no thread writes any more. A thread keeps the ring until its next garbage collection. */
  discard(): void {
    discardPages(new Uint8Array(this.ring, CONTROL_SIZE, RING_SIZE));
  }

  private get place(): number {
    return this.tail & (RING_SIZE - 1);
  }

  private slice(at: number, length: number): Uint8Array {
    return new Uint8Array(this.ring, CONTROL_SIZE + at, length);
  }

  private advance(): void {
    this.tail = (this.tail + this.words[this.place >> 2]) | 0;
  }
}
