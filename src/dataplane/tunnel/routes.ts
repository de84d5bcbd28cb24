/**
 * The routes of the leases: IPv4 prefix → address of the peer behind it, found by longest match.
 *
 * All prefixes are in one hash table, keyed by length and base; a lookup asks it once for each prefix length in use, from
 * the longest to the shortest. A cluster's leases mostly have one length, so ten thousand routes cost what ten do. Owned
 * by one worker; nothing is locked.
 *
 * Addresses are signed 32-bit numbers in host order; 0 (0.0.0.0) is no peer's and means "none".
 */

import { AddressTable } from './address-table.js';

const PREFIXES = 33;

function mask(prefix: number): number {
  // A shift by 32 is one by 0 (ECMA-262).
  return prefix === 0 ? 0 : -1 << (32 - prefix);
}

export class Routes {
  private readonly table = new AddressTable();
  /** Per prefix length: how many routes have it. */
  private readonly routes = new Int32Array(PREFIXES);
  /** The prefix lengths that some route has, longest first, and their masks. */
  private readonly prefixes = new Uint8Array(PREFIXES);
  private readonly masks = new Int32Array(PREFIXES);
  private prefixCount = 0;

  get size(): number {
    return this.table.size;
  }

  /** The peer behind the longest prefix that holds `destination`, or 0. */
  lookup(destination: number): number {
    for (let i = 0; i < this.prefixCount; i++) {
      const address = this.table.lookup(this.prefixes[i], destination & this.masks[i]);
      if (address !== 0) return address;
    }
    return 0;
  }

  /** True when some route leads to this address. */
  hasPeer(address: number): boolean {
    return this.table.hasAddress(address);
  }

  /** Adds a route or gives it another peer. Bits of `base` beyond `prefix` (0 to 32) mean nothing. */
  set(base: number, prefix: number, address: number): void {
    const before = this.table.size;
    this.table.set(prefix, base & mask(prefix), address);
    this.routes[prefix] += this.table.size - before;
    this.arrange();
  }

  /** Removes a route; false when there was none. */
  delete(base: number, prefix: number): boolean {
    if (!this.table.delete(prefix, base & mask(prefix))) return false;
    this.routes[prefix]--;
    this.arrange();
    return true;
  }

  private arrange(): void {
    this.prefixCount = 0;
    for (let prefix = PREFIXES - 1; prefix >= 0; prefix--) {
      if (this.routes[prefix] === 0) continue;
      this.prefixes[this.prefixCount] = prefix;
      this.masks[this.prefixCount++] = mask(prefix);
    }
  }
}
