/**
 * The other end of a datagram as the structures of sendmmsg and recvmmsg have it (msg_name): a sockaddr of the underlay's
 * family. A port has one kind of these, so its calls of them stay monomorphic.
 */

import { IPV4, IPV6, type SocketFamily } from '../../sys/sockaddr.js';
import type { Arena } from '../memory/arena.js';
import type { Ipv6Addresses } from '../tunnel/ipv6-addresses.js';

export interface Names {
  readonly family: SocketFamily;
  /** Writes the peer that a 32-bit number stands for into the sockaddr at arena offset `at`, a multiple of 4. */
  put(at: number, address: number): void;
  /** The 32-bit number for the peer in the sockaddr at `at`. */
  get(at: number): number;
}

/** A sockaddr's place for the address (linux/in.h, linux/in6.h). */
const IPV4_ADDRESS = 4;
const IPV6_ADDRESS = 8;

/** The number is the address itself: in host order, signed. */
export class Ipv4Names implements Names {
  readonly family = IPV4;
  private readonly view: DataView;

  constructor(arena: Arena) {
    this.view = arena.view;
  }

  put(at: number, address: number): void {
    this.view.setInt32(at + IPV4_ADDRESS, address);
  }

  get(at: number): number {
    return this.view.getInt32(at + IPV4_ADDRESS);
  }
}

/** The number is the one that a table has for the address, 0 for a stranger's. */
export class Ipv6Names implements Names {
  readonly family = IPV6;
  private readonly words: Int32Array;
  private readonly addresses: Ipv6Addresses;

  constructor(arena: Arena, addresses: Ipv6Addresses) {
    this.words = arena.words;
    this.addresses = addresses;
  }

  put(at: number, address: number): void {
    this.addresses.write(address, this.words, (at + IPV6_ADDRESS) >> 2);
  }

  get(at: number): number {
    return this.addresses.find(this.words, (at + IPV6_ADDRESS) >> 2);
  }
}
