/**
 * A VXLAN datagram in an Ethernet frame, as the programs see it: offsets from the frame's first byte. The outer IPv4 header
 * has no options.
 *
 *     outer Ethernet 14 | outer IPv4 20 | UDP 8 | VXLAN 8 | inner Ethernet 14 | inner IP …
 */

import { ETHERNET_LENGTH } from '../wire/ethernet.js';
import { IPV4_MIN_LENGTH } from '../wire/ipv4.js';
import { UDP_LENGTH } from '../wire/udp.js';
import { VXLAN_LENGTH } from '../wire/vxlan.js';

/** Offsets in an Ethernet header. */
export const ETHERNET = { destination: 0, source: 6, type: 12 } as const;
/** Offsets in an IPv4 header. */
export const IPV4 = {
  version: 0,
  tos: 1,
  totalLength: 2,
  id: 4,
  fragment: 6,
  ttl: 8,
  protocol: 9,
  checksum: 10,
  source: 12,
  destination: 16,
} as const;
/** Offsets in an IPv6 header. */
export const IPV6 = { version: 0, trafficClass: 1, payloadLength: 4, nextHeader: 6 } as const;
/** Offsets in a UDP header. */
export const UDP = { source: 0, destination: 2, length: 4, checksum: 6 } as const;
/** Offsets in a VXLAN header. */
export const VXLAN = { flags: 0, vni: 4 } as const;

/** Offsets of the headers in the frame. */
export const OUTER_IP = ETHERNET_LENGTH;
export const OUTER_UDP = OUTER_IP + IPV4_MIN_LENGTH;
export const OUTER_VXLAN = OUTER_UDP + UDP_LENGTH;
export const INNER_ETHERNET = OUTER_VXLAN + VXLAN_LENGTH;
export const INNER_IP = INNER_ETHERNET + ETHERNET_LENGTH;

/** Bytes that encapsulation adds. */
export const OVERHEAD = INNER_ETHERNET;
/** Bytes of the outer headers that the lengths of IPv4 and UDP do not count. */
export const BEFORE_UDP_LENGTH = OUTER_UDP;

/** What every datagram of the fast path has up to here: an inner IPv4 header, or the beginning of an IPv6 header. */
export const PARSED_LENGTH = INNER_IP + IPV4_MIN_LENGTH;

/** 0x45: version 4, a header of five words. */
export const IPV4_NO_OPTIONS = 0x45;
/** The bits of the fragment field that only a fragment has: MF and the offset. */
export const FRAGMENT_MASK = 0x3fff;

/** Returns a number of 16 bits as a little-endian load sees it in network order. */
export function network16(value: number): number {
  return ((value & 0xff) << 8) | ((value >>> 8) & 0xff);
}

/** Returns a number of 32 bits as a little-endian load sees it in network order, signed. */
export function network32(value: number): number {
  return (
    ((value & 0xff) << 24) | ((value & 0xff00) << 8) | ((value >>> 8) & 0xff00) | ((value >>> 24) & 0xff)
  );
}
