/**
 * A table from keys of two numbers to peers' addresses. The leases' FDB uses MACs as keys (the first two bytes, unsigned,
 * and the last four, signed); the routes use prefixes (routes.ts). Entries are permanent: only control adds and removes
 * them.
 *
 * The table is an open-addressing hash table in typed arrays with linear probing, at most half full. A lookup allocates
 * nothing, and costs the same with ten thousand entries as with two. Removal shifts the rest of the probe run back, so no
 * tombstones slow lookups down over the weeks a node runs. One worker owns the table; nothing is locked.
 *
 * An address is a signed 32-bit number: an IPv4 address in host order, or the number of an IPv6 address
 * (ipv6-addresses.ts). 0 means "no address". Each address has a number in `traffic`, the counts of the peers.
 */

import { PeerTraffic } from './peer-traffic.js';

const MIN_CAPACITY = 64;

function hash(high: number, low: number): number {
  let mixed = Math.imul(low ^ Math.imul(high, 0x9e3779b1), 0x85ebca6b);
  mixed ^= mixed >>> 15;
  return Math.imul(mixed, 0xc2b2ae35) >>> 7;
}

export class AddressTable {
  private highs = new Int32Array(MIN_CAPACITY);
  private lows = new Int32Array(MIN_CAPACITY);
  /** 0 marks an empty slot. */
  private addresses = new Int32Array(MIN_CAPACITY);
  /** Per slot: the number of its address in `traffic`. */
  private numbers = new Int32Array(MIN_CAPACITY);
  private mask = MIN_CAPACITY - 1;
  private entries = 0;
  /** Per address: its number of entries, and its number in `traffic`. */
  private readonly peers = new Map<number, { entries: number; number: number }>();
  readonly traffic = new PeerTraffic();
  /** The number in `traffic` of the address that the last `lookup` returned; 0 without one. */
  found = 0;

  get size(): number {
    return this.entries;
  }

  /** Returns the address of a key, or 0. */
  lookup(high: number, low: number): number {
    const slot = this.find(high, low);
    this.found = this.numbers[slot];
    return this.addresses[slot];
  }

  /** Returns the number of an address in `traffic`; 0 when no entry has the address. */
  numberOf(address: number): number {
    return this.peers.get(address)?.number ?? 0;
  }

  /** Notes the counter under which a packet to or from an address was dropped, if some entry has the address. */
  noteDrop(address: number, reason: number): void {
    const number = this.numberOf(address);
    if (number !== 0) this.traffic.noteDrop(number, reason);
  }

  /** Returns whether some entry has this address. */
  hasAddress(address: number): boolean {
    return this.peers.has(address);
  }

  /** Adds an entry or replaces its address. */
  set(high: number, low: number, address: number): void {
    if (address === 0) throw new RangeError('0 cannot be the address of a peer');
    let slot = this.find(high, low);
    const previous = this.addresses[slot];
    if (previous === address) return;
    if (previous !== 0) {
      this.unreference(previous);
    } else {
      if ((this.entries + 1) * 2 > this.mask + 1) {
        this.grow();
        slot = this.find(high, low);
      }
      this.entries++;
    }
    this.write(slot, high, low, address, this.reference(address));
  }

  /** Removes an entry; returns false when the key has no entry. */
  delete(high: number, low: number): boolean {
    let gap = this.find(high, low);
    if (this.addresses[gap] === 0) return false;
    this.unreference(this.addresses[gap]);
    this.entries--;
    for (let next = (gap + 1) & this.mask; this.addresses[next] !== 0; next = (next + 1) & this.mask) {
      const home = hash(this.highs[next], this.lows[next]) & this.mask;
      // An entry may move back into the gap unless its home slot lies between the gap and its present slot.
      if (((next - home) & this.mask) >= ((next - gap) & this.mask)) {
        this.write(gap, this.highs[next], this.lows[next], this.addresses[next], this.numbers[next]);
        gap = next;
      }
    }
    this.addresses[gap] = 0;
    this.numbers[gap] = 0;
    return true;
  }

  /** Returns the slot of a key, or the empty slot where it would be inserted. */
  private find(high: number, low: number): number {
    let slot = hash(high, low) & this.mask;
    while (this.addresses[slot] !== 0 && (this.lows[slot] !== low || this.highs[slot] !== high)) {
      slot = (slot + 1) & this.mask;
    }
    return slot;
  }

  private write(slot: number, high: number, low: number, address: number, number: number): void {
    this.highs[slot] = high;
    this.lows[slot] = low;
    this.addresses[slot] = address;
    this.numbers[slot] = number;
  }

  /** Counts an entry of an address and returns its number. */
  private reference(address: number): number {
    const peer = this.peers.get(address);
    if (peer !== undefined) {
      peer.entries++;
      return peer.number;
    }
    const number = this.traffic.add(address);
    this.peers.set(address, { entries: 1, number });
    return number;
  }

  private unreference(address: number): void {
    const peer = this.peers.get(address);
    if (peer === undefined || --peer.entries > 0) return;
    this.traffic.delete(peer.number);
    this.peers.delete(address);
  }

  private grow(): void {
    const { highs, lows, addresses, numbers } = this;
    const capacity = addresses.length * 2;
    this.highs = new Int32Array(capacity);
    this.lows = new Int32Array(capacity);
    this.addresses = new Int32Array(capacity);
    this.numbers = new Int32Array(capacity);
    this.mask = capacity - 1;
    for (let i = 0; i < addresses.length; i++) {
      if (addresses[i] === 0) continue;
      this.write(this.find(highs[i], lows[i]), highs[i], lows[i], addresses[i], numbers[i]);
    }
  }
}
