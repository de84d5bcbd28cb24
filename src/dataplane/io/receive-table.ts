/**
 * The tables and buffers of one recvmmsg. With UDP_GRO (Linux 5.0) a message may be a GRO run: datagrams of equal size
 * one after the other, the last possibly shorter.
 */

import { CMSGHDR_SIZE, IOVEC_SIZE, MSG_TRUNC, SOL_UDP, UDP_GRO } from '../../sys/constants.js';
import type { Address } from '../../sys/ffi.js';
import type { Arena } from '../memory/arena.js';
import { STAGGER } from '../memory/batch.js';
import { MessageTable } from './message-table.js';
import type { SockaddrCodec } from './sockaddr-codec.js';

/** Room for UDP_GRO (an int) and IP_TOS (a byte) or IPV6_TCLASS (an int): CMSG_SPACE of each is 24. */
const CONTROL_SIZE = 64;

export class ReceiveTable {
  readonly capacity: number;
  /**
   * Of the message that `parseControl` parsed last: bytes of each datagram (UDP_GRO; 0 for a single datagram), and
   * outer TOS or traffic class.
   */
  datagramSize = 0;
  tos = 0;
  /** Absolute address of the first message, for recvmmsg. */
  readonly messages: Address;
  private readonly arena: Arena;
  private readonly codec: SockaddrCodec;
  private readonly level: number;
  private readonly tosType: number;
  private readonly table: MessageTable;
  private readonly buffers: number;
  private readonly stride: number;

  /** `capacity` messages of at most `size` bytes. */
  constructor(arena: Arena, capacity: number, size: number, codec: SockaddrCodec) {
    const { family } = codec;
    this.arena = arena;
    this.codec = codec;
    this.level = family.level;
    this.tosType = family.tos;
    this.capacity = capacity;
    this.stride = size + STAGGER;
    this.table = new MessageTable(arena, capacity, CONTROL_SIZE, family.nameSize);
    this.messages = this.table.addresses[0];
    const iovecs = arena.reserve(capacity * IOVEC_SIZE);
    this.buffers = arena.reserve(capacity * this.stride);
    for (let i = 0; i < capacity; i++) {
      const iovec = iovecs + i * IOVEC_SIZE;
      arena.writeIovec(iovec, this.buffer(i), size);
      this.table.setIovecs(i, iovec, 1);
    }
  }

  /** Returns the bytes of arena that a table needs. */
  static footprint(capacity: number, size: number): number {
    return MessageTable.footprint(capacity, CONTROL_SIZE) + capacity * (IOVEC_SIZE + size + STAGGER) + 3 * 64;
  }

  /** Restores the length of the first `used` control blocks, which the kernel overwrote. */
  prepare(used: number): void {
    for (let i = 0; i < used; i++) this.table.setControlLength(i, CONTROL_SIZE);
  }

  /** Returns the arena offset of the first byte of message `index`. */
  buffer(index: number): number {
    return this.buffers + index * this.stride;
  }

  /** Returns the source address of message `index`, in the batch's form. */
  source(index: number): number {
    return this.codec.read(this.table.name(index));
  }

  /** Returns the source port of the message whose buffer has the byte at arena offset `offset`. */
  sourcePort(offset: number): number {
    const index = Math.floor((offset - this.buffers) / this.stride);
    return this.arena.view.getUint16(this.table.name(index) + 2);
  }

  length(index: number): number {
    return this.table.received(index);
  }

  isTruncated(index: number): boolean {
    return (this.table.flags(index) & MSG_TRUNC) !== 0;
  }

  /** Parses the control messages of message `index` into `datagramSize` and `tos`. */
  parseControl(index: number): void {
    const { words, bytes } = this.arena;
    const start = this.table.control(index);
    const end = start + this.table.controlLength(index);
    this.datagramSize = 0;
    this.tos = 0;
    for (let at = start; at + CMSGHDR_SIZE < end; ) {
      const word = at >> 2;
      const length = words[word];
      if (length < CMSGHDR_SIZE) return;
      if (words[word + 2] === SOL_UDP && words[word + 3] === UDP_GRO) this.datagramSize = words[word + 4];
      // The first byte, also of an int.
      if (words[word + 2] === this.level && words[word + 3] === this.tosType)
        this.tos = bytes[at + CMSGHDR_SIZE];
      at += (length + 7) & ~7;
    }
  }
}
