/** Addresses of either family: parsing, checks and canonical text. */

import ipaddr from 'ipaddr.js';
import type { UnderlayAddress } from '../../dataplane/dataplane.js';
import type { Family } from './family.js';

/** An IPv4 address as an unsigned 32-bit number in host order. */
export type Ipv4 = number;
/** An IPv6 address as an unsigned 128-bit number. */
export type Ipv6 = bigint;
/** An address; its type determines its family. */
export type Ip = Ipv4 | Ipv6;

/** Four decimal numbers without leading zeros. */
const FOUR_PARTS = /^(0|[1-9]\d{0,2})\.(0|[1-9]\d{0,2})\.(0|[1-9]\d{0,2})\.(0|[1-9]\d{0,2})$/;

export function familyOf(ip: Ip): Family {
  return typeof ip === 'bigint' ? 'ipv6' : 'ipv4';
}

/** Parses an address; with `family`, accepts only that family. Returns undefined for any other text. */
export function parseIp(text: string, family?: Family): Ip | undefined {
  const ip = parseIpv4(text) ?? parseIpv6(text);
  return ip === undefined || (family !== undefined && familyOf(ip) !== family) ? undefined : ip;
}

/** Parses four decimal parts; returns undefined for any other text. */
export function parseIpv4(text: string): Ipv4 | undefined {
  const match = FOUR_PARTS.exec(text);
  if (match === null) return undefined;
  let ip = 0;
  for (let part = 1; part <= 4; part++) {
    const octet = Number(match[part]);
    if (octet > 255) return undefined;
    ip = ip * 256 + octet;
  }
  return ip;
}

/** Parses an address; returns undefined for any other text and for an address with a zone (`%eth0`). */
function parseIpv6(text: string): Ipv6 | undefined {
  if (!/^[0-9a-f:.]+$/i.test(text) || !ipaddr.IPv6.isValid(text)) return undefined;
  return ipaddr.IPv6.parse(text).parts.reduce((sum, part) => (sum << 16n) | BigInt(part), 0n);
}

/** Returns the canonical text: of IPv4, also of a signed number; of IPv6, that of RFC 5952, as Go prints it. */
export function formatIp(ip: Ip): string {
  if (typeof ip === 'number') return `${ip >>> 24}.${(ip >>> 16) & 255}.${(ip >>> 8) & 255}.${ip & 255}`;
  const parts = Array.from({ length: 8 }, (_, index) => Number((ip >> BigInt(112 - 16 * index)) & 0xffffn));
  return new ipaddr.IPv6(parts).toRFC5952String();
}

/** Returns the address after this one. */
export function nextIp(ip: Ip): Ip {
  return typeof ip === 'bigint' ? ip + 1n : ip + 1;
}

/**
 * Returns whether a node can have the address and peers can send to it. IPv4: not 0.0.0.0/8, not loopback, not multicast or
 * above. IPv6: not ::/96 (unspecified, loopback), IPv4-mapped, link-local or multicast.
 */
export function isNodeAddress(ip: Ip): boolean {
  if (typeof ip === 'bigint') {
    const isMulticast = ip >> 120n === 0xffn;
    return ip >> 32n > 0xffffn && !isMulticast && !isLinkLocal(ip);
  }
  const first = ip >>> 24;
  return first !== 0 && first !== 127 && first < 224;
}

/** Returns true for 169.254.0.0/16 (RFC 3927) and fe80::/10 (RFC 4291, 2.5.6). */
export function isLinkLocal(ip: Ip): boolean {
  return typeof ip === 'bigint' ? ip >> 118n === 0x3fan : ip >>> 16 === 0xa9fe;
}

/** Returns the address of the dataplane's form, the inverse of `toUnderlay`. */
export function fromUnderlay(address: UnderlayAddress): Ip {
  if (typeof address === 'number') return address >>> 0;
  return address.reduce((sum, word) => (sum << 32n) | BigInt(word >>> 0), 0n);
}

/** Returns the dataplane's form of an address: signed 32-bit words. */
export function toUnderlay(ip: Ip): UnderlayAddress {
  if (typeof ip === 'number') return ip | 0;
  const word = (shift: bigint): number => Number(BigInt.asIntN(32, ip >> shift));
  return [word(96n), word(64n), word(32n), word(0n)];
}
