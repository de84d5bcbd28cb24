/** Free subnets of a range: flannel's allocateSubnet (pkg/subnet/etcd/local_manager.go), for either family. */

import { type Cidr, lastOf } from '../../addresses/cidr.js';
import { type Ip, nextIp } from '../../addresses/ip.js';
import type { SubnetRange } from '../../config/subnet-range.js';

/** Number of free subnets among which flannel picks at random, so that nodes that start together rarely collide. */
const CANDIDATES = 100;

export function overlap(a: Cidr, b: Cidr): boolean {
  return a.base <= lastOf(b) && b.base <= lastOf(a);
}

/** Returns the first free subnets, at most 100, in order. */
export function firstFree({ length, min, max }: SubnetRange, taken: readonly Cidr[]): Cidr[] {
  const sorted = [...taken].sort((a, b) => (a.base < b.base ? -1 : a.base > b.base ? 1 : 0));
  const free: Cidr[] = [];
  let next = 0;
  /** Last address of all taken subnets that begin before the candidate ends. */
  let reach: Ip = -1;
  let base = min;
  while (base <= max && free.length < CANDIDATES) {
    const candidate = { base, prefixLength: length };
    const last = lastOf(candidate);
    for (; next < sorted.length; next++) {
      const subnet = sorted[next] as Cidr;
      if (subnet.base > last) break;
      if (lastOf(subnet) > reach) reach = lastOf(subnet);
    }
    if (reach < base) free.push(candidate);
    base = nextIp(last);
  }
  return free;
}
