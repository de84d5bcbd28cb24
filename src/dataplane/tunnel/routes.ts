/**
 * The routes of the leases: IPv4 prefix → address of the peer, by longest prefix match.
 *
 * All prefixes are in one hash table, keyed by length and base. A lookup searches it once per prefix length in use, from
 * the longest to the shortest. A cluster's leases mostly have one length, so ten thousand routes cost the same as ten.
 * One worker owns the routes; nothing is locked.
 *
 * Addresses are signed 32-bit numbers in host order; 0 (0.0.0.0) means "no address".
 */

import { AddressTable } from './address-table.js';

/** Prefix lengths from 0 to 32. */
const LENGTHS = 33;

function maskOf(prefixLength: number): number {
  // ECMA-262 takes a shift count modulo 32.
  return prefixLength === 0 ? 0 : -1 << (32 - prefixLength);
}

export class Routes {
  /** Keys are prefix lengths and bases. */
  readonly table = new AddressTable();
  /** The number of routes per prefix length. */
  private readonly countByLength = new Int32Array(LENGTHS);
  /** The prefix lengths in use, longest first, and their masks. */
  private readonly lengths = new Uint8Array(LENGTHS);
  private readonly masks = new Int32Array(LENGTHS);
  private lengthCount = 0;

  get size(): number {
    return this.table.size;
  }

  /** Returns the peer of the longest prefix that contains `destination`, or 0. */
  lookup(destination: number): number {
    for (let i = 0; i < this.lengthCount; i++) {
      const address = this.table.lookup(this.lengths[i], destination & this.masks[i]);
      if (address !== 0) return address;
    }
    return 0;
  }

  /** Returns whether some route leads to this address. */
  hasPeer(address: number): boolean {
    return this.table.hasAddress(address);
  }

  /** Adds a route or replaces its peer. Host bits of `base` are ignored. */
  set(base: number, prefixLength: number, address: number): void {
    const before = this.table.size;
    this.table.set(prefixLength, base & maskOf(prefixLength), address);
    this.countByLength[prefixLength] += this.table.size - before;
    this.listLengths();
  }

  /** Removes a route; returns false when the prefix has no route. */
  delete(base: number, prefixLength: number): boolean {
    if (!this.table.delete(prefixLength, base & maskOf(prefixLength))) return false;
    this.countByLength[prefixLength]--;
    this.listLengths();
    return true;
  }

  private listLengths(): void {
    this.lengthCount = 0;
    for (let length = LENGTHS - 1; length >= 0; length--) {
      if (this.countByLength[length] === 0) continue;
      this.lengths[this.lengthCount] = length;
      this.masks[this.lengthCount++] = maskOf(length);
    }
  }
}
