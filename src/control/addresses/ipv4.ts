/** IPv4 addresses, networks and MACs as control handles them: checked, with their canonical text. */

import ipaddr from 'ipaddr.js';

/** An address as an unsigned 32-bit number in host order. */
export type Ipv4 = number;

export interface Cidr {
  /** Network address: the host bits are zero. */
  base: Ipv4;
  prefix: number;
}

/** Four decimal parts, nothing else; undefined for any other text. */
export function parseIpv4(text: string): Ipv4 | undefined {
  if (!ipaddr.IPv4.isValidFourPartDecimal(text)) return undefined;
  return ipaddr.IPv4.parse(text).octets.reduce((sum, octet) => sum * 256 + octet, 0);
}

export function formatIpv4(address: Ipv4): string {
  return [24, 16, 8, 0].map((shift) => (address >>> shift) & 0xff).join('.');
}

/** The network of an address; `prefix` 0 to 32. */
export function networkOf(address: Ipv4, prefix: number): Ipv4 {
  return prefix === 0 ? 0 : (address & (-1 << (32 - prefix))) >>> 0;
}

/** `a.b.c.d/n`, host bits and all; undefined for any other text. */
export function parseCidr(text: string): { address: Ipv4; prefix: number } | undefined {
  const match = /^([0-9.]+)\/(0|[1-9][0-9]?)$/.exec(text);
  if (match === null) return undefined;
  const address = parseIpv4(match[1] as string);
  const prefix = Number(match[2]);
  return address === undefined || prefix > 32 ? undefined : { address, prefix };
}

/** The last address of a network. */
export function lastAddress({ base, prefix }: Cidr): Ipv4 {
  return base + 2 ** (32 - prefix) - 1;
}

/** True for text that is an IPv6 address or network, to say so where IPv4 belongs. */
export function isIpv6(text: string): boolean {
  return ipaddr.IPv6.isValid(text) || ipaddr.IPv6.isValidCIDR(text);
}

/** True for an address a node can have: not 0.0.0.0/8, not loopback, not multicast or above. */
export function isNodeAddress(address: Ipv4): boolean {
  const first = address >>> 24;
  return first !== 0 && first !== 127 && first < 224;
}
