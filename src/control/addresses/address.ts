/** Addresses and networks of either family, for what treats both alike. */

import type { UnderlayAddress } from '../../dataplane/dataplane.js';
import {
  formatIpv4,
  type Ipv4,
  isNodeAddress,
  lastAddress,
  networkOf,
  parseCidr,
  parseIpv4,
} from './ipv4.js';
import {
  formatIpv6,
  type Ipv6,
  isNodeAddress6,
  lastAddress6,
  network6Of,
  parseCidr6,
  parseIpv6,
} from './ipv6.js';

export type Family = 'ipv4' | 'ipv6';

export const FAMILIES: readonly Family[] = ['ipv4', 'ipv6'];

/** An address; its type tells its family. */
export type Ip = Ipv4 | Ipv6;

/** A network: `Cidr` of IPv4, `Cidr6` of IPv6. */
export interface Subnet<A extends Ip = Ip> {
  /** Network address: the host bits are zero. */
  base: A;
  prefix: number;
}

export function familyOf(address: Ip): Family {
  return typeof address === 'bigint' ? 'ipv6' : 'ipv4';
}

/** As people write the family. */
export function familyName(family: Family): string {
  return family === 'ipv4' ? 'IPv4' : 'IPv6';
}

/** The family's flag of `ip`. */
export function familyFlag(family: Family): string {
  return family === 'ipv4' ? '-4' : '-6';
}

/** Bits of an address. */
export function bitsOf(address: Ip): number {
  return typeof address === 'bigint' ? 128 : 32;
}

/** Undefined for any text that is no address. */
export function parseIp(text: string): Ip | undefined {
  return parseIpv4(text) ?? parseIpv6(text);
}

export function formatIp(address: Ip): string {
  return typeof address === 'bigint' ? formatIpv6(address) : formatIpv4(address);
}

/** The network that `address/n` lies in, host bits or not; undefined for any other text. */
export function parseSubnet(text: string): Subnet | undefined {
  const parsed = parseCidr(text) ?? parseCidr6(text);
  return parsed && { base: baseOf<Ip>(parsed.address, parsed.prefix), prefix: parsed.prefix };
}

export function formatSubnet({ base, prefix }: Subnet): string {
  return `${formatIp(base)}/${prefix}`;
}

/** The address as a network of its own: `10.244.1.0/32`, `fd00::/128`. */
export function formatHost(address: Ip): string {
  return `${formatIp(address)}/${bitsOf(address)}`;
}

/** The first address of an address's network. */
export function baseOf<A extends Ip>(address: A, prefix: number): A {
  return (typeof address === 'bigint' ? network6Of(address, prefix) : networkOf(address, prefix)) as A;
}

/** The last address of a network. */
export function lastOf<A extends Ip>({ base, prefix }: Subnet<A>): A {
  return (
    typeof base === 'bigint' ? lastAddress6({ base, prefix }) : lastAddress({ base: base as Ipv4, prefix })
  ) as A;
}

/** Whether `inner` is a part of `outer`; networks of two families never are. */
export function holds(outer: Subnet, inner: Subnet): boolean {
  return (
    familyOf(outer.base) === familyOf(inner.base) &&
    inner.prefix >= outer.prefix &&
    baseOf(inner.base, outer.prefix) === outer.base
  );
}

export function holdsAddress(network: Subnet, address: Ip): boolean {
  return holds(network, { base: address, prefix: bitsOf(address) });
}

/** True for an address peers can send to. */
export function isPublic(address: Ip): boolean {
  return typeof address === 'bigint' ? isNodeAddress6(address) : isNodeAddress(address);
}

/** An address as the dataplane takes it: signed words of 32 bits. */
export function toUnderlay(address: Ip): UnderlayAddress {
  if (typeof address === 'number') return address | 0;
  const word = (shift: bigint): number => Number(BigInt.asIntN(32, address >> shift));
  return [word(96n), word(64n), word(32n), word(0n)];
}
