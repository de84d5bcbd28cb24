/** IPv6 addresses and networks as control handles them: checked, with their canonical text. */

import ipaddr from 'ipaddr.js';

/** An address as an unsigned 128-bit number. */
export type Ipv6 = bigint;

export interface Cidr6 {
  /** Network address: the host bits are zero. */
  base: Ipv6;
  prefix: number;
}

/** Undefined for any text that is no IPv6 address; a zone (`%eth0`) is none of an address's. */
export function parseIpv6(text: string): Ipv6 | undefined {
  if (!/^[0-9a-f:.]+$/i.test(text) || !ipaddr.IPv6.isValid(text)) return undefined;
  return ipaddr.IPv6.parse(text).parts.reduce((sum, part) => (sum << 16n) | BigInt(part), 0n);
}

/** The canonical text (RFC 5952), which is what Go prints. */
export function formatIpv6(address: Ipv6): string {
  const parts = Array.from({ length: 8 }, (_, index) =>
    Number((address >> BigInt(112 - 16 * index)) & 0xffffn),
  );
  return new ipaddr.IPv6(parts).toRFC5952String();
}

/** The network of an address; `prefix` 0 to 128. */
export function network6Of(address: Ipv6, prefix: number): Ipv6 {
  const hostBits = BigInt(128 - prefix);
  return (address >> hostBits) << hostBits;
}

/** The last address of a network. */
export function lastAddress6({ base, prefix }: Cidr6): Ipv6 {
  return base + (1n << BigInt(128 - prefix)) - 1n;
}

/** `address/n`, host bits and all; undefined for any other text. */
export function parseCidr6(text: string): { address: Ipv6; prefix: number } | undefined {
  const match = /^([^/]+)\/(0|[1-9][0-9]{0,2})$/.exec(text);
  if (match === null) return undefined;
  const address = parseIpv6(match[1] as string);
  const prefix = Number(match[2]);
  return address === undefined || prefix > 128 ? undefined : { address, prefix };
}

/** fe80::/10 (RFC 4291, 2.5.6): of no use without an interface. */
export function isLinkLocal6(address: Ipv6): boolean {
  return address >> 118n === 0x3fan;
}

/** True for an address peers can send to: not ::/96 (unspecified, loopback), IPv4-mapped, link-local or multicast. */
export function isNodeAddress6(address: Ipv6): boolean {
  const isMulticast = address >> 120n === 0xffn;
  return address >> 32n > 0xffffn && !isMulticast && !isLinkLocal6(address);
}
