/**
 * The kernel structures that sending and receiving share: n mmsghdrs, each with a sockaddr and a control block of its
 * own, whose addresses never change.
 */

import {
  MMSGHDR_LEN,
  MMSGHDR_SIZE,
  MSGHDR_CONTROL,
  MSGHDR_CONTROLLEN,
  MSGHDR_FLAGS,
  MSGHDR_IOV,
  MSGHDR_IOVLEN,
  MSGHDR_NAME,
  MSGHDR_NAMELEN,
  SOCKADDR_IN6_SIZE,
} from '../../sys/constants.js';
import type { Address } from '../../sys/ffi.js';
import type { Arena } from '../memory/arena.js';

export class MessageTable {
  readonly capacity: number;
  /** Bytes of each control block. */
  readonly controlSize: number;
  /** Absolute address of each message, for sendmmsg and recvmmsg. */
  readonly addresses: readonly Address[];
  private readonly arena: Arena;
  private readonly messages: number;
  private readonly nameSize: number;
  private readonly names: number;
  private readonly controls: number;

  /** `nameSize`: bytes of a sockaddr. */
  constructor(arena: Arena, capacity: number, controlSize: number, nameSize: number) {
    this.arena = arena;
    this.capacity = capacity;
    this.controlSize = controlSize;
    this.messages = arena.reserve(capacity * MMSGHDR_SIZE);
    this.nameSize = nameSize;
    this.names = arena.reserve(capacity * nameSize);
    this.controls = arena.reserve(capacity * controlSize);
    this.addresses = Array.from({ length: capacity }, (_, i) =>
      arena.address(this.messages + i * MMSGHDR_SIZE),
    );
    for (let i = 0; i < capacity; i++) {
      const message = this.messages + i * MMSGHDR_SIZE;
      arena.writePointer(message + MSGHDR_NAME, this.name(i));
      arena.words[(message + MSGHDR_NAMELEN) >> 2] = nameSize;
      arena.writePointer(message + MSGHDR_CONTROL, this.control(i));
    }
  }

  /** Returns the most bytes of arena that a table needs. */
  static footprint(capacity: number, controlSize: number): number {
    return capacity * (MMSGHDR_SIZE + SOCKADDR_IN6_SIZE + controlSize) + 3 * 64;
  }

  /** Returns the arena offset of sockaddr `index`, a multiple of 4: family @0, port @2, then the address. */
  name(index: number): number {
    return this.names + index * this.nameSize;
  }

  /** Returns the arena offset of control block `index`. */
  control(index: number): number {
    return this.controls + index * this.controlSize;
  }

  /** Points message `index` at `count` iovecs from arena offset `iovecs`. */
  setIovecs(index: number, iovecs: number, count: number): void {
    const message = this.messages + index * MMSGHDR_SIZE;
    this.arena.writePointer(message + MSGHDR_IOV, iovecs);
    this.arena.words[(message + MSGHDR_IOVLEN) >> 2] = count;
  }

  controlLength(index: number): number {
    return this.arena.words[(this.messages + index * MMSGHDR_SIZE + MSGHDR_CONTROLLEN) >> 2];
  }

  setControlLength(index: number, length: number): void {
    this.arena.words[(this.messages + index * MMSGHDR_SIZE + MSGHDR_CONTROLLEN) >> 2] = length;
  }

  /** Returns the bytes that the kernel wrote into message `index`. */
  received(index: number): number {
    return this.arena.words[(this.messages + index * MMSGHDR_SIZE + MMSGHDR_LEN) >> 2];
  }

  /** Returns msg_flags of a received message: MSG_TRUNC when the datagram was longer than its buffer. */
  flags(index: number): number {
    return this.arena.words[(this.messages + index * MMSGHDR_SIZE + MSGHDR_FLAGS) >> 2];
  }
}
