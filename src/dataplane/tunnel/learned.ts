/**
 * Learned forwarding entries (net-conf `Learning: true`): the MACs seen in received frames and the VTEP each came
 * from, as the kernel's vxlan device keeps them (drivers/net/vxlan/vxlan_core.c, vxlan_snoop): an entry ages out
 * 300 s after the last frame from it. Lease entries are elsewhere (address-table.ts), asked first and never learned.
 */

import { LRUCache } from 'lru-cache';

/** FDB_AGE_DEFAULT of vxlan_core.c. */
export const AGEING_MS = 300_000;
/** Enough for every pod of a large cluster; when full, the entry unused for longest goes. */
export const MAX_LEARNED = 16_384;
/** An entry younger than this is not written again: a busy peer costs one refresh a second, not one a packet. */
const REFRESH_MS = 1000;

export interface LearnedEntry {
  mac: number;
  address: number;
  /** Milliseconds since the last frame that confirmed it, to within a second. */
  ageMs: number;
}

/** A MAC as one exact number below 2^48. */
export function macKey(high: number, low: number): number {
  return high * 0x100000000 + (low >>> 0);
}

export class LearnedFdb {
  private readonly cache: LRUCache<number, number>;

  /** `clock` gives milliseconds that only go forward. */
  constructor(capacity: number = MAX_LEARNED, clock: { now(): number } = performance) {
    this.cache = new LRUCache<number, number>({
      max: capacity,
      ttl: AGEING_MS,
      // The cache would keep the time for as long as this and forget it by a timer, and no timer fires in a worker
      // that blocks in poll: with any other value nothing would ever age.
      ttlResolution: 0,
      perf: clock,
    });
  }

  get size(): number {
    return this.cache.size;
  }

  /** The address behind a MAC, or 0 when it is unknown or has aged out. */
  lookup(high: number, low: number): number {
    return this.cache.get(macKey(high, low)) ?? 0;
  }

  /** Notes that a frame from this MAC came from this address. */
  learn(high: number, low: number, address: number): void {
    const key = macKey(high, low);
    if (this.cache.peek(key) === address && this.cache.getRemainingTTL(key) > AGEING_MS - REFRESH_MS) return;
    this.cache.set(key, address);
  }

  /** Every entry that has not aged out, the one used last first. For status; allocates. */
  entries(): LearnedEntry[] {
    const entries: LearnedEntry[] = [];
    for (const [mac, address] of this.cache.entries()) {
      entries.push({ mac, address, ageMs: AGEING_MS - this.cache.getRemainingTTL(mac) });
    }
    return entries;
  }
}
