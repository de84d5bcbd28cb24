/**
 * The peer of a datagram in the structures of sendmmsg and recvmmsg (msg_name): a sockaddr of the underlay's family. A
 * port has one kind of codec, so its calls stay monomorphic.
 */

import { IPV4, IPV6, type SocketFamily } from '../../sys/sockaddr.js';
import type { Arena } from '../memory/arena.js';
import type { Ipv6Addresses } from '../tunnel/ipv6-addresses.js';

export interface SockaddrCodec {
  readonly family: SocketFamily;
  /** Writes the peer that a 32-bit number stands for into the sockaddr at arena offset `at`, a multiple of 4. */
  write(at: number, address: number): void;
  /** Returns the 32-bit number for the peer in the sockaddr at `at`. */
  read(at: number): number;
}

/** Offset of the address in a sockaddr (linux/in.h, linux/in6.h). */
const IPV4_ADDRESS = 4;
const IPV6_ADDRESS = 8;

/** The number is the address itself: in host order, signed. */
export class Ipv4SockaddrCodec implements SockaddrCodec {
  readonly family = IPV4;
  private readonly view: DataView;

  constructor(arena: Arena) {
    this.view = arena.view;
  }

  write(at: number, address: number): void {
    this.view.setInt32(at + IPV4_ADDRESS, address);
  }

  read(at: number): number {
    return this.view.getInt32(at + IPV4_ADDRESS);
  }
}

/** The number is the one that a table has for the address, a negative one for an unknown source. */
export class Ipv6SockaddrCodec implements SockaddrCodec {
  readonly family = IPV6;
  private readonly words: Int32Array;
  private readonly addresses: Ipv6Addresses;

  constructor(arena: Arena, addresses: Ipv6Addresses) {
    this.words = arena.words;
    this.addresses = addresses;
  }

  write(at: number, address: number): void {
    this.addresses.write(address, this.words, (at + IPV6_ADDRESS) >> 2);
  }

  read(at: number): number {
    return this.addresses.source(this.words, (at + IPV6_ADDRESS) >> 2);
  }
}
