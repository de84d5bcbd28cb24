/**
 * The tables of one sendmmsg. A message carries one GSO run: one payload, gathered from pieces (iovecs). The kernel
 * cuts it into datagrams of equal size, the last possibly shorter (UDP_SEGMENT, Linux 4.18). A run of one datagram is
 * an ordinary message.
 */

import { CMSGHDR_SIZE, IOVEC_SIZE, SOL_UDP, UDP_SEGMENT } from '../../sys/constants.js';
import type { Address } from '../../sys/ffi.js';
import type { Arena } from '../memory/arena.js';
import { MessageTable } from './message-table.js';
import type { SockaddrCodec } from './sockaddr-codec.js';

/** CMSG_SPACE of a u16 and of an int on 64 bits: both 24. */
const CONTROL_SPACE = 24;
const SEGMENT_LENGTH = CMSGHDR_SIZE + 2;
const TOS_LENGTH = CMSGHDR_SIZE + 4;

export class SendTable {
  /** Number of complete messages. */
  count = 0;
  readonly capacity: number;
  /** Per message: number of datagrams, and payload bytes of all of them. */
  readonly datagrams: Int32Array;
  readonly bytes: Int32Array;
  /**
   * Per message: bytes of a datagram (the last may have fewer), peer and TOS or traffic class, as passed to `begin`.
   */
  readonly datagramSize: Int32Array;
  readonly address: Int32Array;
  readonly tos: Uint8Array;
  /** Per message: its first piece; the pieces of message i end where those of message i + 1 begin. */
  readonly firstPiece: Int32Array;
  /** Per piece: arena offset and bytes. */
  readonly pieceOffset: Int32Array;
  readonly pieceLength: Int32Array;
  private pieces = 0;
  private readonly arena: Arena;
  private readonly codec: SockaddrCodec;
  private readonly table: MessageTable;
  private readonly iovecs: number;

  /** Has room for `capacity` messages of `pieces` pieces altogether; `port` (host order) is every peer's. */
  constructor(arena: Arena, capacity: number, pieces: number, codec: SockaddrCodec, port: number) {
    const { family } = codec;
    this.arena = arena;
    this.codec = codec;
    this.capacity = capacity;
    this.datagrams = new Int32Array(capacity);
    this.bytes = new Int32Array(capacity);
    this.datagramSize = new Int32Array(capacity);
    this.address = new Int32Array(capacity);
    this.tos = new Uint8Array(capacity);
    this.firstPiece = new Int32Array(capacity + 1);
    this.pieceOffset = new Int32Array(pieces);
    this.pieceLength = new Int32Array(pieces);
    this.table = new MessageTable(arena, capacity, 2 * CONTROL_SPACE, family.nameSize);
    this.iovecs = arena.reserve(pieces * IOVEC_SIZE);
    const { view, words } = arena;
    for (let i = 0; i < capacity; i++) {
      view.setUint16(this.table.name(i), family.domain, true);
      view.setUint16(this.table.name(i) + 2, port);
      const segment = this.table.control(i) >> 2;
      words[segment] = SEGMENT_LENGTH;
      words[segment + 2] = SOL_UDP;
      words[segment + 3] = UDP_SEGMENT;
      const tos = segment + (CONTROL_SPACE >> 2);
      words[tos] = TOS_LENGTH;
      words[tos + 2] = family.level;
      words[tos + 3] = family.tos;
    }
  }

  /** Returns the bytes of arena that the tables need. */
  static footprint(capacity: number, pieces: number): number {
    return MessageTable.footprint(capacity, 2 * CONTROL_SPACE) + pieces * IOVEC_SIZE + 64;
  }

  clear(): void {
    this.count = 0;
    this.pieces = 0;
  }

  /** Returns true when `pieces` more pieces fit, in the open message or in a new one. */
  hasRoom(pieces: number): boolean {
    return this.count < this.capacity && this.pieces + pieces <= this.pieceOffset.length;
  }

  /** Opens a message to an address, in the batch's form, of datagrams of `datagramSize` bytes. */
  begin(address: number, tos: number, datagramSize: number): void {
    const { count } = this;
    this.address[count] = address;
    this.tos[count] = tos;
    this.datagramSize[count] = datagramSize;
    this.bytes[count] = 0;
    this.firstPiece[count] = this.pieces;
    this.codec.write(this.table.name(count), address);
  }

  /** Adds `length` bytes at arena offset `offset` to the open message. */
  add(offset: number, length: number): void {
    const { pieces } = this;
    this.arena.writeIovec(this.iovecs + pieces * IOVEC_SIZE, offset, length);
    this.pieceOffset[pieces] = offset;
    this.pieceLength[pieces] = length;
    this.bytes[this.count] += length;
    this.pieces++;
  }

  /** Completes the open message, whose run has `datagrams` datagrams. */
  end(datagrams: number): void {
    const { count, table } = this;
    const first = this.firstPiece[count];
    const control = table.control(count);
    this.datagrams[count] = datagrams;
    table.setIovecs(count, this.iovecs + first * IOVEC_SIZE, this.pieces - first);
    // UDP_SEGMENT 0 turns segmentation off, so the two control messages can stay in place.
    this.arena.view.setUint16(control + CMSGHDR_SIZE, datagrams > 1 ? this.datagramSize[count] : 0, true);
    this.arena.words[(control + CONTROL_SPACE + CMSGHDR_SIZE) >> 2] = this.tos[count];
    const used = this.tos[count] !== 0 ? 2 : datagrams > 1 ? 1 : 0;
    table.setControlLength(count, used * CONTROL_SPACE);
    this.count++;
    this.firstPiece[this.count] = this.pieces;
  }

  /** Returns the absolute address of message `index`, for sendmmsg. */
  message(index: number): Address {
    return this.table.addresses[index];
  }
}
