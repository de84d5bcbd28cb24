/**
 * What stands behind a key of two numbers: the address of a peer. The FDB of the leases has MACs as keys (their first
 * two bytes, unsigned, and their last four, signed), the routes have prefixes (routes.ts). Entries are permanent: only
 * control adds and removes them.
 *
 * An open-addressing hash table in typed arrays, linear probing, at most half full, so that a lookup with ten thousand
 * entries costs what it costs with two and allocates nothing. Removal shifts the rest of the run back; there are no
 * tombstones that would slow lookups down over the weeks a node runs. Owned by one worker; nothing is locked.
 *
 * An address is a signed 32-bit number: IPv4 in host order, or what stands for an IPv6 address (tunnel/ipv6-addresses.ts).
 * 0 is no peer's and means "none".
 */

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
  private mask = MIN_CAPACITY - 1;
  private entries = 0;
  /** How many entries each address has: tells a known peer from a stranger. */
  private readonly peers = new Map<number, number>();

  get size(): number {
    return this.entries;
  }

  /** The address behind a key, or 0. */
  lookup(high: number, low: number): number {
    return this.addresses[this.find(high, low)];
  }

  /** True when some entry has this address. */
  hasAddress(address: number): boolean {
    return this.peers.has(address);
  }

  /** Adds an entry or gives it another address. */
  set(high: number, low: number, address: number): void {
    if (address === 0) throw new RangeError("0 is no peer's address");
    let slot = this.find(high, low);
    const previous = this.addresses[slot];
    if (previous !== 0) {
      this.forget(previous);
    } else {
      if ((this.entries + 1) * 2 > this.mask + 1) {
        this.grow();
        slot = this.find(high, low);
      }
      this.entries++;
    }
    this.put(slot, high, low, address);
    this.peers.set(address, (this.peers.get(address) ?? 0) + 1);
  }

  /** Removes an entry; false when there was none. */
  delete(high: number, low: number): boolean {
    let gap = this.find(high, low);
    if (this.addresses[gap] === 0) return false;
    this.forget(this.addresses[gap]);
    this.entries--;
    for (let next = (gap + 1) & this.mask; this.addresses[next] !== 0; next = (next + 1) & this.mask) {
      const home = hash(this.highs[next], this.lows[next]) & this.mask;
      // An entry may move back into the gap unless its home lies between the gap and where it stands.
      if (((next - home) & this.mask) >= ((next - gap) & this.mask)) {
        this.put(gap, this.highs[next], this.lows[next], this.addresses[next]);
        gap = next;
      }
    }
    this.addresses[gap] = 0;
    return true;
  }

  /** The slot that holds a key, or the empty one where it would go. */
  private find(high: number, low: number): number {
    let slot = hash(high, low) & this.mask;
    while (this.addresses[slot] !== 0 && (this.lows[slot] !== low || this.highs[slot] !== high)) {
      slot = (slot + 1) & this.mask;
    }
    return slot;
  }

  private put(slot: number, high: number, low: number, address: number): void {
    this.highs[slot] = high;
    this.lows[slot] = low;
    this.addresses[slot] = address;
  }

  private forget(address: number): void {
    const left = (this.peers.get(address) ?? 0) - 1;
    if (left > 0) this.peers.set(address, left);
    else this.peers.delete(address);
  }

  private grow(): void {
    const { highs, lows, addresses } = this;
    const capacity = addresses.length * 2;
    this.highs = new Int32Array(capacity);
    this.lows = new Int32Array(capacity);
    this.addresses = new Int32Array(capacity);
    this.mask = capacity - 1;
    for (let i = 0; i < addresses.length; i++) {
      if (addresses[i] !== 0) this.put(this.find(highs[i], lows[i]), highs[i], lows[i], addresses[i]);
    }
  }
}
