/**
 * The names of flannel's keys in etcd (pkg/subnet/subnet.go): `10.5.1.0-24`, and `10.5.1.0-24&fd00:12:13::-56` of a node
 * that has a subnet of each family.
 */

import { baseOf, type Cidr, formatCidr } from '../../addresses/cidr.js';
import { formatIp, type Ip, parseIp } from '../../addresses/ip.js';

export interface SubnetKey {
  subnet: Cidr;
  subnet6: Cidr | undefined;
}

/** flannel takes 5 bits of a length of IPv4 and 7 bits of one of IPv6. */
const MAX_LENGTH = 31;
const MAX_LENGTH6 = 127;

export function formatSubnetKey({ subnet, subnet6 }: SubnetKey): string {
  const text = ({ base, prefixLength }: Cidr): string => `${formatIp(base)}-${prefixLength}`;
  return subnet6 === undefined ? text(subnet) : `${text(subnet)}&${text(subnet6)}`;
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
  const subnet = subnetOf(parseIp(address, 'ipv4'), Number(length), MAX_LENGTH);
  if (subnet === undefined || address6 === undefined) return subnet && { subnet, subnet6: undefined };
  const subnet6 = subnetOf(parseIp(address6, 'ipv6'), Number(length6), MAX_LENGTH6);
  return subnet6 && { subnet, subnet6 };
}

function subnetOf(base: Ip | undefined, prefixLength: number, longest: number): Cidr | undefined {
  if (base === undefined || prefixLength < 1 || prefixLength > longest) return undefined;
  return baseOf(base, prefixLength) === base ? { base, prefixLength } : undefined;
}

/** The IPv6 subnet in messages: flannel prints one that is not there like this. */
export function showSubnet6(subnet6: Cidr | undefined): string {
  return subnet6 === undefined ? '::/0' : formatCidr(subnet6);
}
