/** IPv6 addresses. */

import ipaddr from 'ipaddr.js';

/** An address as an unsigned 128-bit number. */
export type Ipv6 = bigint;

/** Parses an address; returns undefined for any other text and for an address with a zone (`%eth0`). */
export function parseIpv6(text: string): Ipv6 | undefined {
  if (!/^[0-9a-f:.]+$/i.test(text) || !ipaddr.IPv6.isValid(text)) return undefined;
  return ipaddr.IPv6.parse(text).parts.reduce((sum, part) => (sum << 16n) | BigInt(part), 0n);
}

/** Returns the canonical text (RFC 5952), as Go prints it. */
export function formatIpv6(ip: Ipv6): string {
  const parts = Array.from({ length: 8 }, (_, index) => Number((ip >> BigInt(112 - 16 * index)) & 0xffffn));
  return new ipaddr.IPv6(parts).toRFC5952String();
}

/**
 * Returns whether a node can have the address: not ::/96 (unspecified, loopback), IPv4-mapped, link-local or multicast.
 */
export function isNodeIpv6(ip: Ipv6): boolean {
  const isMulticast = ip >> 120n === 0xffn;
  return ip >> 32n > 0xffffn && !isMulticast && !isLinkLocalIpv6(ip);
}

export function isLinkLocalIpv6(ip: Ipv6): boolean {
  return ip >> 118n === 0x3fan;
}
