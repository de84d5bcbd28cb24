/** Records per family in which IPv4 is always present: flannel's keys in etcd begin with an IPv4 subnet. */

import type { Family, PerFamily } from '../../addresses/family.js';

export type WithIpv4<T> = PerFamily<T> & { readonly ipv4: T };

/** Returns a record with every value mapped. */
export function mapWithIpv4<T, U>(per: WithIpv4<T>, map: (value: T, family: Family) => U): WithIpv4<U> {
  const { ipv4, ipv6 } = per;
  return { ipv4: map(ipv4, 'ipv4'), ipv6: ipv6 === undefined ? undefined : map(ipv6, 'ipv6') };
}
