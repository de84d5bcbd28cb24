/**
 * Internet checksums (RFC 1071) of packets in an arena, by the SIMD code of assembly/sum.ts on the arena's own bytes.
 *
 * A sum is a number below 2^32 in the machine's (little-endian) byte order. Sums may be added if every part but the
 * last has an even length. A checksum field holds the complement of the folded sum, in network order.
 */

import { readFileSync } from 'node:fs';
import type { Arena } from '../memory/arena.js';
import { ipv4HeaderLength, setIpv4HeaderChecksum } from '../wire/ipv4.js';

type UnfoldedSum = (at: number, length: number) => number;

let compiled: WebAssembly.Module | undefined;

/** Folds a sum to 16 bits: end-around carry. */
function fold(sum: number): number {
  let folded = (sum >>> 16) + (sum & 0xffff);
  folded = (folded >>> 16) + (folded & 0xffff);
  return folded;
}

/** Swaps the bytes of a 16-bit word: a field's value into a sum, and back (RFC 1071 section 2(B)). */
export function swap(word: number): number {
  return ((word & 0xff) << 8) | (word >>> 8);
}

export class Checksum {
  private readonly unfoldedSum: UnfoldedSum;
  private readonly view: DataView;

  constructor(arena: Arena) {
    compiled ??= new WebAssembly.Module(readFileSync(new URL('./sum.wasm', import.meta.url)));
    const instance = new WebAssembly.Instance(compiled, { env: { memory: arena.memory } });
    this.unfoldedSum = instance.exports.sum as UnfoldedSum;
    this.view = arena.view;
  }

  /** Returns the sum of `length` bytes (at most 65535) at arena offset `at`, folded to 16 bits. */
  sum(at: number, length: number): number {
    return fold(this.unfoldedSum(at, length) >>> 0);
  }

  /** Returns the value of a checksum field for a sum: its one's complement in network order. */
  static field(sum: number): number {
    return swap(fold(sum) ^ 0xffff);
  }

  /** Returns the value of the checksum field for `length` bytes at arena offset `at`, the field itself included. */
  compute(at: number, length: number): number {
    return Checksum.field(this.sum(at, length));
  }

  /**
   * Returns the value of the field of a partial checksum: the pseudo-header's sum in network order, not complemented.
   */
  static pseudoHeaderField(sum: number): number {
    return swap(fold(sum));
  }

  /**
   * Returns the sum of a pseudo-header (RFC 9293 section 3.1, RFC 8200 section 8.1). `addresses` is the arena offset of
   * source and destination: 8 bytes of IPv4 or 32 of IPv6. `length` is that of layer-4 header and payload.
   */
  pseudoHeader(addresses: number, addressBytes: number, protocol: number, length: number): number {
    return fold(this.sum(addresses, addressBytes) + (protocol << 8) + swap(length));
  }

  /** Writes the header checksum of the IPv4 header at `at`. */
  writeIpv4Header(at: number): void {
    setIpv4HeaderChecksum(this.view, at, 0);
    setIpv4HeaderChecksum(this.view, at, this.compute(at, ipv4HeaderLength(this.view, at)));
  }
}
