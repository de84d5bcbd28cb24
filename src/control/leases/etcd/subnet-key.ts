/** Names of flannel's keys in etcd (pkg/subnet/subnet.go): `10.5.1.0-24`, or `10.5.1.0-24&fd00:12:13::-56` in dual stack. */

import { baseOf, type Cidr, formatCidr } from '../../addresses/cidr.js';
import { bitsOf, type Family, type PerFamily, valuesOf } from '../../addresses/family.js';
import { formatIp, parseIp } from '../../addresses/ip.js';

/** A record per family in which IPv4 is always present: flannel's keys begin with an IPv4 subnet. */
export type WithIpv4<T> = PerFamily<T> & { readonly ipv4: T };

/** Returns a record with every value mapped. */
export function mapWithIpv4<T, U>(per: WithIpv4<T>, map: (value: T, family: Family) => U): WithIpv4<U> {
  const { ipv4, ipv6 } = per;
  return { ipv4: map(ipv4, 'ipv4'), ipv6: ipv6 === undefined ? undefined : map(ipv6, 'ipv6') };
}

/** The subnets of one node. */
export type SubnetKey = WithIpv4<Cidr>;

export function formatSubnetKey(key: SubnetKey): string {
  return valuesOf(key)
    .map(({ base, prefixLength }) => `${formatIp(base)}-${prefixLength}`)
    .join('&');
}

/** Returns undefined for any other name, and for a subnet with host bits or a length that no node can have. */
export function parseSubnetKey(name: string): SubnetKey | undefined {
  const [first = '', second, ...more] = name.split('&');
  const ipv4 = parseSubnet(first, 'ipv4');
  if (ipv4 === undefined || more.length > 0) return undefined;
  if (second === undefined) return { ipv4 };
  const ipv6 = parseSubnet(second, 'ipv6');
  return ipv6 && { ipv4, ipv6 };
}

function parseSubnet(text: string, family: Family): Cidr | undefined {
  const [, address = '', length] = /^([\da-f.:]+)-([1-9]\d{0,2})$/.exec(text) ?? [];
  const base = parseIp(address, family);
  const prefixLength = Number(length);
  if (base === undefined || prefixLength >= bitsOf(family)) return undefined;
  return baseOf(base, prefixLength) === base ? { base, prefixLength } : undefined;
}

/** Formats the IPv6 subnet for log lines; flannel prints `::/0` for a missing one. */
export function showIpv6({ ipv6 }: SubnetKey): string {
  return ipv6 === undefined ? '::/0' : formatCidr(ipv6);
}
