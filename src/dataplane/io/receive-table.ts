/**
 * The tables and buffers of one recvmmsg. With UDP_GRO (Linux 5.0) a message may be a train: datagrams of equal size one
 * after the other, the last maybe shorter.
 */

import { CMSGHDR_SIZE, IOVEC_SIZE, MSG_TRUNC, SOL_UDP, UDP_GRO } from '../../sys/constants.js';
import type { Address } from '../../sys/ffi.js';
import type { Arena } from '../memory/arena.js';
import { STAGGER } from '../memory/batch.js';
import { MessageTable } from './message-table.js';
import type { Names } from './sockaddr-codec.js';

/** Room for UDP_GRO (an int) and IP_TOS (a byte) or IPV6_TCLASS (an int): CMSG_SPACE of each is 24. */
const CONTROL_SIZE = 64;

export class ReceiveRing {
  readonly capacity: number;
  /**
   * Of the message that `parse` looked at last: bytes of each datagram (0: it is a single one) and outer TOS
   * or traffic class.
   */
  segmentSize = 0;
  tos = 0;
  /** Absolute address of the first message, for recvmmsg. */
  readonly messages: Address;
  private readonly arena: Arena;
  private readonly names: Names;
  private readonly level: number;
  private readonly tosType: number;
  private readonly table: MessageTable;
  private readonly buffers: number;
  private readonly stride: number;

  /** `capacity` messages of at most `size` bytes. */
  constructor(arena: Arena, capacity: number, size: number, names: Names) {
    const { family } = names;
    this.arena = arena;
    this.names = names;
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
      arena.putIovec(iovec, this.buffer(i), size);
      this.table.setIovecs(i, iovec, 1);
    }
  }

  /** Bytes of arena that a ring takes. */
  static footprint(capacity: number, size: number): number {
    return MessageTable.footprint(capacity, CONTROL_SIZE) + capacity * (IOVEC_SIZE + size + STAGGER) + 3 * 64;
  }

  /** Gives the first `used` control blocks their length back, which the kernel overwrote. */
  prepare(used: number): void {
    for (let i = 0; i < used; i++) this.table.setControlLength(i, CONTROL_SIZE);
  }

  /** Arena offset of message `index`'s first byte. */
  buffer(index: number): number {
    return this.buffers + index * this.stride;
  }

  /** The sender's address, as the batch has it. */
  address(index: number): number {
    return this.names.get(this.table.name(index));
  }

  length(index: number): number {
    return this.table.received(index);
  }

  isTruncated(index: number): boolean {
    return (this.table.flags(index) & MSG_TRUNC) !== 0;
  }

  /** Reads the control messages of message `index` into `segmentSize` and `tos`. */
  parse(index: number): void {
    const { words, bytes } = this.arena;
    const start = this.table.control(index);
    const end = start + this.table.controlLength(index);
    this.segmentSize = 0;
    this.tos = 0;
    for (let at = start; at + CMSGHDR_SIZE < end; ) {
      const word = at >> 2;
      const length = words[word];
      if (length < CMSGHDR_SIZE) return;
      if (words[word + 2] === SOL_UDP && words[word + 3] === UDP_GRO) this.segmentSize = words[word + 4];
      // Of an int it is the first byte.
      if (words[word + 2] === this.level && words[word + 3] === this.tosType)
        this.tos = bytes[at + CMSGHDR_SIZE];
      at += (length + 7) & ~7;
    }
  }
}
