/** IPv4 addresses. */

import ipaddr from 'ipaddr.js';

/** An address as an unsigned 32-bit number in host order. */
export type Ipv4 = number;

/** Parses four decimal parts; returns undefined for any other text. */
export function parseIpv4(text: string): Ipv4 | undefined {
  if (!ipaddr.IPv4.isValidFourPartDecimal(text)) return undefined;
  return ipaddr.IPv4.parse(text).octets.reduce((sum, octet) => sum * 256 + octet, 0);
}

/** Returns the text of an address, signed or unsigned. */
export function formatIpv4(ip: Ipv4): string {
  return [24, 16, 8, 0].map((shift) => (ip >>> shift) & 0xff).join('.');
}

/** Returns whether a node can have the address: not 0.0.0.0/8, not loopback, not multicast or above. */
export function isNodeIpv4(ip: Ipv4): boolean {
  const first = ip >>> 24;
  return first !== 0 && first !== 127 && first < 224;
}

export function isLinkLocalIpv4(ip: Ipv4): boolean {
  return ip >>> 16 === 0xa9fe;
}
