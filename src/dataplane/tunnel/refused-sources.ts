/**
 * The sources that the peer check refused although their packets belong to a lease: the lease has another address. That
 * happens behind NAT, or when a peer sends from a second address. The table is small; a new source replaces the oldest.
 */

import type { UnderlayAddress } from '../../sys/sockaddr.js';

export interface RefusedSource {
  /** Where the packets came from. */
  address: UnderlayAddress;
  /** The address of the lease that they belong to. */
  leased: UnderlayAddress;
  /** Packets since the source entered the table. */
  count: number;
}

const CAPACITY = 16;

export class RefusedSources {
  private readonly addresses: UnderlayAddress[] = [];
  private readonly leased: UnderlayAddress[] = [];
  private readonly keys = new Int32Array(2 * CAPACITY);
  private readonly counts = new Float64Array(CAPACITY);
  private size = 0;
  /** The entry that the next new source replaces, once the table is full. */
  private oldest = 0;
  private readonly resolve: (number: number) => UnderlayAddress;

  /** `resolve` returns the address that a 32-bit number stands for; it is called for new entries. */
  constructor(resolve: (number: number) => UnderlayAddress) {
    this.resolve = resolve;
  }

  /** Counts a packet from `source` that belongs to the lease of `leased`. Allocates for a new source only. */
  note(source: number, leased: number): void {
    const { keys } = this;
    let entry = 0;
    while (entry < this.size && (keys[2 * entry] !== source || keys[2 * entry + 1] !== leased)) entry++;
    if (entry === this.size) entry = this.add(source, leased);
    this.counts[entry]++;
  }

  /** Returns the sources, in no order. */
  read(): RefusedSource[] {
    return Array.from({ length: this.size }, (_, entry) => ({
      address: this.addresses[entry],
      leased: this.leased[entry],
      count: this.counts[entry],
    }));
  }

  private add(source: number, leased: number): number {
    let entry = this.size;
    if (entry < CAPACITY) {
      this.size++;
    } else {
      entry = this.oldest;
      this.oldest = (entry + 1) % CAPACITY;
    }
    this.keys[2 * entry] = source;
    this.keys[2 * entry + 1] = leased;
    this.counts[entry] = 0;
    this.addresses[entry] = this.resolve(source);
    this.leased[entry] = this.resolve(leased);
    return entry;
  }
}

/** Returns the sources with their packets summed over the answers of all threads. */
export function sumRefused(answers: readonly RefusedSource[]): RefusedSource[] {
  const sums = new Map<string, RefusedSource>();
  for (const refused of answers) {
    const key = `${refused.address} ${refused.leased}`;
    const sum = sums.get(key);
    if (sum === undefined) sums.set(key, { ...refused });
    else sum.count += refused.count;
  }
  return [...sums.values()];
}
