/**
 * The mmsghdr, iovec and sockaddr_in tables of one sendmmsg or recvmmsg, laid out once: message i points for ever at
 * iovec i and sockaddr i. The loop rewrites iovec bases and lengths and addresses only.
 */

import {
  AF_INET,
  IOVEC_SIZE,
  MMSGHDR_LEN,
  MMSGHDR_SIZE,
  MSGHDR_FLAGS,
  MSGHDR_IOV,
  MSGHDR_IOVLEN,
  MSGHDR_NAME,
  MSGHDR_NAMELEN,
  SOCKADDR_IN_SIZE,
} from '../sys/constants.js';
import type { Arena } from './arena.js';

export class MessageVector {
  readonly capacity: number;
  private readonly arena: Arena;
  private readonly messages: number;
  private readonly iovecs: number;
  private readonly names: number;

  /** `port` (host order) goes into every sockaddr; received messages overwrite it. */
  constructor(arena: Arena, capacity: number, port: number) {
    this.arena = arena;
    this.capacity = capacity;
    this.messages = arena.reserve(capacity * MMSGHDR_SIZE);
    this.iovecs = arena.reserve(capacity * IOVEC_SIZE);
    this.names = arena.reserve(capacity * SOCKADDR_IN_SIZE);
    for (let i = 0; i < capacity; i++) {
      const message = this.messages + i * MMSGHDR_SIZE;
      const name = this.names + i * SOCKADDR_IN_SIZE;
      arena.putPointer(message + MSGHDR_NAME, name);
      arena.words[(message + MSGHDR_NAMELEN) >> 2] = SOCKADDR_IN_SIZE;
      arena.putPointer(message + MSGHDR_IOV, this.iovecs + i * IOVEC_SIZE);
      arena.words[(message + MSGHDR_IOVLEN) >> 2] = 1;
      arena.view.setUint16(name, AF_INET, true);
      arena.view.setUint16(name + 2, port);
    }
  }

  /** Bytes of arena that a vector takes. */
  static footprint(capacity: number): number {
    return capacity * (MMSGHDR_SIZE + IOVEC_SIZE + SOCKADDR_IN_SIZE) + 3 * 64;
  }

  /** Absolute address of message `index`, for sendmmsg and recvmmsg. */
  message(index: number): number {
    return this.arena.base + this.messages + index * MMSGHDR_SIZE;
  }

  /** Points message `index` at `length` bytes from arena offset `offset`. */
  setBuffer(index: number, offset: number, length: number): void {
    const iovec = this.iovecs + index * IOVEC_SIZE;
    this.arena.putPointer(iovec, offset);
    this.arena.words[(iovec + 8) >> 2] = length;
  }

  /** The peer's IPv4 address, host order. */
  setAddress(index: number, address: number): void {
    this.arena.view.setInt32(this.names + index * SOCKADDR_IN_SIZE + 4, address);
  }

  address(index: number): number {
    return this.arena.view.getInt32(this.names + index * SOCKADDR_IN_SIZE + 4);
  }

  /** Bytes the kernel put into message `index`. */
  received(index: number): number {
    return this.arena.words[(this.messages + index * MMSGHDR_SIZE + MMSGHDR_LEN) >> 2];
  }

  /** msg_flags of a received message: MSG_TRUNC when the datagram was longer than its buffer. */
  flags(index: number): number {
    return this.arena.words[(this.messages + index * MMSGHDR_SIZE + MSGHDR_FLAGS) >> 2];
  }
}
