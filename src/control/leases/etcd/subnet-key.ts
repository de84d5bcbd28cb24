/**
 * The names of flannel's keys in etcd (pkg/subnet/subnet.go): `10.5.1.0-24`, and `10.5.1.0-24&fd00:12:13::-56` of a node
 * that has a subnet of each family.
 */

import { type Cidr, formatIpv4, networkOf, parseIpv4 } from '../../ipv4.js';
import { type Cidr6, formatCidr6, formatIpv6, network6Of, parseIpv6 } from '../../ipv6.js';

export interface SubnetKey {
  subnet: Cidr;
  subnet6: Cidr6 | undefined;
}

/** flannel takes 5 bits of a length of IPv4 and 7 bits of one of IPv6. */
const MAX_LENGTH = 31;
const MAX_LENGTH6 = 127;

export function formatSubnetKey({ subnet, subnet6 }: SubnetKey): string {
  const text = `${formatIpv4(subnet.base)}-${subnet.prefix}`;
  return subnet6 === undefined ? text : `${text}&${formatIpv6(subnet6.base)}-${subnet6.prefix}`;
}

/** Undefined for any name that is not of this form, has host bits or a length no node can have. */
export function parseSubnetKey(name: string): SubnetKey | undefined {
  const found = /^([\d.]+)-(\d{1,2})(?:&([a-f\d:]+)-(\d{1,3}))?$/.exec(name);
  if (found === null) return undefined;
  const [, address, length, address6, length6] = found as unknown as [
    string,
    string,
    string,
    string?,
    string?,
  ];
  const subnet = cidr(address, Number(length));
  if (subnet === undefined || address6 === undefined) return subnet && { subnet, subnet6: undefined };
  const subnet6 = cidr6(address6, Number(length6));
  return subnet6 && { subnet, subnet6 };
}

function cidr(text: string, prefix: number): Cidr | undefined {
  const base = parseIpv4(text);
  if (base === undefined || prefix < 1 || prefix > MAX_LENGTH) return undefined;
  return networkOf(base, prefix) === base ? { base, prefix } : undefined;
}

function cidr6(text: string, prefix: number): Cidr6 | undefined {
  const base = parseIpv6(text);
  if (base === undefined || prefix < 1 || prefix > MAX_LENGTH6) return undefined;
  return network6Of(base, prefix) === base ? { base, prefix } : undefined;
}

/** The IPv6 subnet in messages: flannel prints one that is not there like this. */
export function showSubnet6(subnet6: Cidr6 | undefined): string {
  return subnet6 === undefined ? '::/0' : formatCidr6(subnet6);
}
