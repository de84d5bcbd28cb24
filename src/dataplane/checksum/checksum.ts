/**
 * Internet checksums (RFC 1071) of packets in an arena, by the SIMD code of assembly/sum.ts on the arena's own bytes.
 *
 * Partial sums are numbers below 2^32 in the machine's (little-endian) byte order; they may be added, as long as every
 * part but the last has an even length. `finish` folds, inverts and turns one into the value of a checksum field.
 */

import { readFileSync } from 'node:fs';
import type { Arena } from '../memory/arena.js';
import { ipv4HeaderLength, setIpv4HeaderChecksum } from '../wire/ipv4.js';

type Sum = (at: number, length: number) => number;

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
  private readonly sum: Sum;
  private readonly view: DataView;

  constructor(arena: Arena) {
    compiled ??= new WebAssembly.Module(readFileSync(new URL('./sum.wasm', import.meta.url)));
    const instance = new WebAssembly.Instance(compiled, { env: { memory: arena.memory } });
    this.sum = instance.exports.sum as Sum;
    this.view = arena.view;
  }

  /** The partial sum of `length` bytes (at most 65535) at arena offset `at`. */
  partial(at: number, length: number): number {
    return fold(this.sum(at, length) >>> 0);
  }

  /** The value for a checksum field: fold, one's complement, network order. */
  static finish(sum: number): number {
    return swap(fold(sum) ^ 0xffff);
  }

  /** The finished checksum of `length` bytes at arena offset `at`, whose checksum field holds the sum of what is before. */
  finishFrom(at: number, length: number): number {
    return Checksum.finish(this.partial(at, length));
  }

  /** What a field holds while the sum over the rest is owed: the folded sum itself, network order. */
  static unfinished(sum: number): number {
    return swap(fold(sum));
  }

  /**
   * The partial sum of a pseudo-header: `addresses` is the arena offset of source and destination (8 B of IPv4 or 32 B
   * of IPv6, RFC 9293 section 3.1 and RFC 8200 section 8.1), `length` that of layer-4 header and payload.
   */
  pseudoHeader(addresses: number, addressBytes: number, protocol: number, length: number): number {
    return fold(this.partial(addresses, addressBytes) + (protocol << 8) + swap(length));
  }

  /** Makes the header checksum of the IPv4 header at `at` right. */
  writeIpv4Header(at: number): void {
    setIpv4HeaderChecksum(this.view, at, 0);
    setIpv4HeaderChecksum(this.view, at, Checksum.finish(this.partial(at, ipv4HeaderLength(this.view, at))));
  }
}
