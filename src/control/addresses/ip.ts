/** Addresses of either family: parsing, checks and canonical text. */

import type { UnderlayAddress } from '../../dataplane/dataplane.js';
import type { Family } from './family.js';
import { formatIpv4, type Ipv4, isLinkLocalIpv4, isNodeIpv4, parseIpv4 } from './ipv4.js';
import { formatIpv6, type Ipv6, isLinkLocalIpv6, isNodeIpv6, parseIpv6 } from './ipv6.js';

export type { Ipv4 } from './ipv4.js';
export type { Ipv6 } from './ipv6.js';

/** An address; its type determines its family. */
export type Ip = Ipv4 | Ipv6;

export function familyOf(ip: Ip): Family {
  return typeof ip === 'bigint' ? 'ipv6' : 'ipv4';
}

/** Parses an address; with `family`, accepts only that family. Returns undefined for any other text. */
export function parseIp(text: string, family?: Family): Ip | undefined {
  const ip = parseIpv4(text) ?? parseIpv6(text);
  return ip === undefined || (family !== undefined && familyOf(ip) !== family) ? undefined : ip;
}

export function formatIp(ip: Ip): string {
  return typeof ip === 'bigint' ? formatIpv6(ip) : formatIpv4(ip);
}

/** Returns the address after this one. */
export function nextIp(ip: Ip): Ip {
  return typeof ip === 'bigint' ? ip + 1n : ip + 1;
}

/** Returns whether peers can send to the address. */
export function isNodeAddress(ip: Ip): boolean {
  return typeof ip === 'bigint' ? isNodeIpv6(ip) : isNodeIpv4(ip);
}

/** Returns true for 169.254.0.0/16 (RFC 3927) and fe80::/10 (RFC 4291, 2.5.6). */
export function isLinkLocal(ip: Ip): boolean {
  return typeof ip === 'bigint' ? isLinkLocalIpv6(ip) : isLinkLocalIpv4(ip);
}

/** Returns the dataplane's form of an address: signed 32-bit words. */
export function toUnderlay(ip: Ip): UnderlayAddress {
  if (typeof ip === 'number') return ip | 0;
  const word = (shift: bigint): number => Number(BigInt.asIntN(32, ip >> shift));
  return [word(96n), word(64n), word(32n), word(0n)];
}
