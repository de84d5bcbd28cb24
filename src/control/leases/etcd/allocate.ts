/** Which subnets nobody has: flannel's allocateSubnet (pkg/subnet/etcd/local_manager.go), of either family. */

import { type Cidr, lastOf } from '../../addresses/cidr.js';

/** flannel picks at random among so many: nodes that start at once seldom pick the same. */
const CHOICE = 100;

/** Subnets of `size` addresses from `min` to `max`, which are both the first address of one. */
export interface Candidates {
  min: bigint;
  max: bigint;
  size: bigint;
}

/** First and last address. */
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

/** The first addresses of the first free subnets, 100 at most, in order. */
export function firstFree({ min, max, size }: Candidates, taken: readonly Span[]): bigint[] {
  const sorted = [...taken].sort((a, b) => (a.first < b.first ? -1 : a.first > b.first ? 1 : 0));
  const free: bigint[] = [];
  let next = 0;
  /** The last address of all that begins before the candidate ends. */
  let reach = -1n;
  for (let base = min; base <= max && free.length < CHOICE; base += size) {
    for (; next < sorted.length; next++) {
      const { first, last } = sorted[next] as Span;
      if (first >= base + size) break;
      if (last > reach) reach = last;
    }
    if (reach < base) free.push(base);
  }
  return free;
}
