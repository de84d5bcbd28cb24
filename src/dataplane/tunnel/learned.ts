/**
 * Learned forwarding entries (net-conf `Learning: true`): source MACs of received frames, and the VTEP that sent each.
 * The kernel's vxlan device keeps the same entries (drivers/net/vxlan/vxlan_core.c, vxlan_snoop). An entry ages out 300
 * s after its last frame. The leases' FDB (address-table.ts) is separate: it is searched first, and its MACs are never
 * learned.
 *
 * The table is a hash table in typed arrays of fixed size. Entries of one hash value form a chain. A second list links all
 * entries in the order of their use, and a full table replaces the least recently used one. An aged-out entry keeps its
 * place until then. Peers choose the MACs, so the hash is random: none can make one chain long on purpose.
 */

/** FDB_AGE_DEFAULT of vxlan_core.c. */
export const AGEING_MS = 300_000;
/** Enough for every pod of a large cluster. */
export const MAX_LEARNED = 16_384;
/** An entry younger than this is not refreshed, so a busy peer costs one write per second, not one per packet. */
const REFRESH_MS = 1000;
/** The index that ends a chain, and both ends of the list of use. */
const NONE = 0;

export interface LearnedEntry {
  mac: number;
  address: number;
  /** Milliseconds since the last frame that refreshed the entry, to within a second. */
  ageMs: number;
}

/** Returns a MAC as one exact number below 2^48. */
export function macKey(high: number, low: number): number {
  return high * 0x100000000 + (low >>> 0);
}

/** Returns a random factor; an odd one keeps every bit of the product's other factor. */
function randomFactor(): number {
  return Math.floor(Math.random() * 2 ** 32) | 1;
}

export class LearnedFdb {
  /** Entries in use, aged-out ones included. */
  size = 0;
  private readonly capacity: number;
  private readonly clock: { now(): number };
  private readonly highFactor = randomFactor();
  private readonly lowFactor = randomFactor();
  /** The bits of a hash that do not select the chain. */
  private readonly hashShift: number;
  /** The first entry of each chain. */
  private readonly chains: Int32Array;
  // Entries, from index 1.
  private readonly highs: Int32Array;
  private readonly lows: Int32Array;
  private readonly addresses: Int32Array;
  /** When the entry was written last. */
  private readonly times: Float64Array;
  /** The next entry of the chain. */
  private readonly chained: Int32Array;
  // The list of use: the entry used next before and after. Index 0 closes the circle.
  private readonly older: Int32Array;
  private readonly newer: Int32Array;
  /** When the present batch began, in milliseconds: each reading of the clock allocates a number. */
  private readonly now = new Float64Array(1);

  /** `clock` returns monotonic milliseconds. */
  constructor(capacity: number = MAX_LEARNED, clock: { now(): number } = performance) {
    this.capacity = capacity;
    this.clock = clock;
    const hashBits = Math.max(1, Math.ceil(Math.log2(capacity)));
    this.hashShift = 32 - hashBits;
    this.chains = new Int32Array(1 << hashBits);
    this.highs = new Int32Array(capacity + 1);
    this.lows = new Int32Array(capacity + 1);
    this.addresses = new Int32Array(capacity + 1);
    this.times = new Float64Array(capacity + 1);
    this.chained = new Int32Array(capacity + 1);
    this.older = new Int32Array(capacity + 1);
    this.newer = new Int32Array(capacity + 1);
    this.readClock();
  }

  /** Reads the clock. Call it once per batch: its packets have one time. */
  readClock(): void {
    this.now[0] = this.clock.now();
  }

  /** Returns the address of a MAC, or 0 for an unknown or aged-out MAC. */
  lookup(high: number, low: number): number {
    const entry = this.find(high, low);
    if (entry === NONE || this.now[0] - this.times[entry] > AGEING_MS) return 0;
    this.use(entry);
    return this.addresses[entry];
  }

  /** Records that a frame from this MAC came from this address. */
  learn(high: number, low: number, address: number): void {
    const now = this.now[0];
    let entry = this.find(high, low);
    if (entry === NONE) entry = this.add(high, low);
    else if (this.addresses[entry] === address && now - this.times[entry] < REFRESH_MS) return;
    this.addresses[entry] = address;
    this.times[entry] = now;
    this.use(entry);
  }

  /** Returns the entries that have not aged out, most recently used first. Allocates; for status only. */
  entries(): LearnedEntry[] {
    this.readClock();
    const now = this.now[0];
    const entries: LearnedEntry[] = [];
    for (let entry = this.older[NONE]; entry !== NONE; entry = this.older[entry]) {
      const ageMs = now - this.times[entry];
      if (ageMs > AGEING_MS) continue;
      entries.push({
        mac: macKey(this.highs[entry], this.lows[entry]),
        address: this.addresses[entry],
        ageMs,
      });
    }
    return entries;
  }

  private chainOf(high: number, low: number): number {
    return (Math.imul(high, this.highFactor) + Math.imul(low, this.lowFactor)) >>> this.hashShift;
  }

  private find(high: number, low: number): number {
    let entry = this.chains[this.chainOf(high, low)];
    while (entry !== NONE && (this.lows[entry] !== low || this.highs[entry] !== high)) {
      entry = this.chained[entry];
    }
    return entry;
  }

  /** Returns a new entry, in place of the least recently used one if the table is full. */
  private add(high: number, low: number): number {
    let entry = NONE;
    if (this.size < this.capacity) {
      entry = ++this.size;
      this.insert(entry);
    } else {
      entry = this.newer[NONE];
      this.unchain(entry);
    }
    this.highs[entry] = high;
    this.lows[entry] = low;
    const chain = this.chainOf(high, low);
    this.chained[entry] = this.chains[chain];
    this.chains[chain] = entry;
    return entry;
  }

  private unchain(entry: number): void {
    const chain = this.chainOf(this.highs[entry], this.lows[entry]);
    let at = this.chains[chain];
    if (at === entry) {
      this.chains[chain] = this.chained[entry];
      return;
    }
    while (this.chained[at] !== entry) at = this.chained[at];
    this.chained[at] = this.chained[entry];
  }

  /** Makes an entry the most recently used one. */
  private use(entry: number): void {
    this.newer[this.older[entry]] = this.newer[entry];
    this.older[this.newer[entry]] = this.older[entry];
    this.insert(entry);
  }

  private insert(entry: number): void {
    const newest = this.older[NONE];
    this.older[entry] = newest;
    this.newer[entry] = NONE;
    this.newer[newest] = entry;
    this.older[NONE] = entry;
  }
}
