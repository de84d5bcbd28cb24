/** Free subnets of a range: flannel's allocateSubnet (pkg/subnet/etcd/local_manager.go), for either family. */

import { type Cidr, lastOf } from '../../addresses/cidr.js';

/** Number of free subnets among which flannel picks at random, so that nodes that start together rarely collide. */
const CANDIDATES = 100;

/** Subnets of `size` addresses; `min` and `max` are the first addresses of the first and the last subnet. */
export interface Candidates {
  min: bigint;
  max: bigint;
  size: bigint;
}

/** First and last address of a subnet. */
export interface Span {
  first: bigint;
  last: bigint;
}

export function spanOf(subnet: Cidr): Span {
  return { first: BigInt(subnet.base), last: BigInt(lastOf(subnet)) };
}

export function overlap(a: Span, b: Span): boolean {
  return a.first <= b.last && b.first <= a.last;
}

/** Returns the first addresses of the first free subnets, at most 100, in order. */
export function firstFree({ min, max, size }: Candidates, taken: readonly Span[]): bigint[] {
  const sorted = [...taken].sort((a, b) => (a.first < b.first ? -1 : a.first > b.first ? 1 : 0));
  const free: bigint[] = [];
  let next = 0;
  /** Last address of all spans that begin before the candidate ends. */
  let reach = -1n;
  for (let base = min; base <= max && free.length < CANDIDATES; base += size) {
    for (; next < sorted.length; next++) {
      const { first, last } = sorted[next] as Span;
      if (first >= base + size) break;
      if (last > reach) reach = last;
    }
    if (reach < base) free.push(base);
  }
  return free;
}
