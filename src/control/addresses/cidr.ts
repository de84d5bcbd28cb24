/** A network of either family. */

import { bitsOf, type Family } from './family.js';
import { familyOf, formatIp, type Ip, parseIp } from './ip.js';

export interface Cidr {
  /** Network address: the host bits are zero. */
  base: Ip;
  prefixLength: number;
}

/**
 * Parses `address/length` and clears the host bits; with `family`, accepts only that family. Returns undefined for any
 * other text.
 */
export function parseCidr(text: string, family?: Family): Cidr | undefined {
  const match = /^([^/]+)\/(0|[1-9][0-9]{0,2})$/.exec(text);
  if (match === null) return undefined;
  const [, address = '', length] = match;
  const ip = parseIp(address, family);
  const prefixLength = Number(length);
  if (ip === undefined || prefixLength > bitsOf(familyOf(ip))) return undefined;
  return { base: baseOf(ip, prefixLength), prefixLength };
}

export function formatCidr({ base, prefixLength }: Cidr): string {
  return `${formatIp(base)}/${prefixLength}`;
}

/** Returns the address as a network of its own: `10.244.1.0/32`, `fd00::/128`. */
export function formatHost(ip: Ip): string {
  return `${formatIp(ip)}/${bitsOf(familyOf(ip))}`;
}

/** Returns the first address of the network that an address lies in. */
export function baseOf(ip: Ip, prefixLength: number): Ip {
  if (typeof ip === 'bigint') {
    const hostBits = BigInt(128 - prefixLength);
    return (ip >> hostBits) << hostBits;
  }
  return prefixLength === 0 ? 0 : (ip & (-1 << (32 - prefixLength))) >>> 0;
}

/** Returns the last address of a network. */
export function lastOf({ base, prefixLength }: Cidr): Ip {
  return typeof base === 'bigint'
    ? base + (1n << BigInt(128 - prefixLength)) - 1n
    : base + 2 ** (32 - prefixLength) - 1;
}

/** Returns whether `inner` is part of `outer`. Networks of different families never contain each other. */
export function contains(outer: Cidr, inner: Cidr): boolean {
  return (
    familyOf(outer.base) === familyOf(inner.base) &&
    inner.prefixLength >= outer.prefixLength &&
    baseOf(inner.base, outer.prefixLength) === outer.base
  );
}

export function containsAddress(network: Cidr, ip: Ip): boolean {
  return contains(network, { base: ip, prefixLength: bitsOf(familyOf(ip)) });
}
