/**
 * Learned forwarding entries (net-conf `Learning: true`): source MACs of received frames, and the VTEP that sent each.
 * The kernel's vxlan device keeps the same entries (drivers/net/vxlan/vxlan_core.c, vxlan_snoop). An entry ages out 300
 * s after its last frame. The leases' FDB (address-table.ts) is separate: it is searched first, and its MACs are never
 * learned.
 */

import { LRUCache } from 'lru-cache';

/** FDB_AGE_DEFAULT of vxlan_core.c. */
export const AGEING_MS = 300_000;
/** Enough for every pod of a large cluster. A full cache evicts the least recently used entry. */
export const MAX_LEARNED = 16_384;
/** An entry younger than this is not refreshed, so a busy peer costs one write per second, not one per packet. */
const REFRESH_MS = 1000;

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

export class LearnedFdb {
  private readonly cache: LRUCache<number, number>;

  /** `clock` returns monotonic milliseconds. */
  constructor(capacity: number = MAX_LEARNED, clock: { now(): number } = performance) {
    this.cache = new LRUCache<number, number>({
      max: capacity,
      ttl: AGEING_MS,
      // With another value the cache caches the time and clears it by a timer. No timer fires in a worker that blocks in
      // poll, so no entry would ever age.
      ttlResolution: 0,
      perf: clock,
    });
  }

  get size(): number {
    return this.cache.size;
  }

  /** Returns the address of a MAC, or 0 for an unknown or aged-out MAC. */
  lookup(high: number, low: number): number {
    return this.cache.get(macKey(high, low)) ?? 0;
  }

  /** Records that a frame from this MAC came from this address. */
  learn(high: number, low: number, address: number): void {
    const key = macKey(high, low);
    if (this.cache.peek(key) === address && this.cache.getRemainingTTL(key) > AGEING_MS - REFRESH_MS) return;
    this.cache.set(key, address);
  }

  /** Returns the entries that have not aged out, most recently used first. Allocates; for status only. */
  entries(): LearnedEntry[] {
    const entries: LearnedEntry[] = [];
    for (const [mac, address] of this.cache.entries()) {
      entries.push({ mac, address, ageMs: AGEING_MS - this.cache.getRemainingTTL(mac) });
    }
    return entries;
  }
}
