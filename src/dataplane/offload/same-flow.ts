/**
 * The headers of two packets that must be equal for them to be segments of one superpacket. The fields are at the same
 * offset from the first byte of each packet, so only one of the two must have been located.
 */

import type { InnerHeaders } from '../memory/inner-headers.js';
import { hasDontFragment, IPV4_FLAGS, IPV4_TOTAL_LENGTH, ipv4Identification } from '../wire/ipv4.js';
import { IPV6_NEXT_HEADER, IPV6_PAYLOAD_LENGTH } from '../wire/ipv6.js';
import {
  IPPROTO_TCP,
  TCP_ACKNOWLEDGMENT,
  TCP_DATA_OFFSET,
  TCP_MIN_LENGTH,
  TCP_PSH,
  TCP_URGENT,
} from '../wire/tcp.js';
import { UDP_LENGTH_FIELD } from '../wire/udp.js';

/**
 * Returns true when everything is equal that must be equal in the segments of a superpacket: MAC addresses, VLAN tag,
 * DSCP and ECN, flow label, DF, TTL, addresses, ports. For TCP these are also acknowledgment, header length, flags
 * except PSH, window, urgent pointer and options. `a` is the first packet, located by `headers`; `b` would come after
 * `segments` packets.
 */
export function isSameFlow(
  view: DataView,
  headers: InnerHeaders,
  a: number,
  b: number,
  segments: number,
): boolean {
  const { ip, transport } = headers;
  // The link header, and the two bytes behind it: the IP version and what is next to it must be equal too.
  for (let at = 0; at < ip; at += 4) if (view.getInt32(a + at) !== view.getInt32(b + at)) return false;
  if (headers.isIpv6) {
    // Version, traffic class, flow label; next header and hop limit.
    if (view.getInt32(a + ip) !== view.getInt32(b + ip)) return false;
    if (view.getUint16(a + ip + IPV6_NEXT_HEADER) !== view.getUint16(b + ip + IPV6_NEXT_HEADER)) return false;
  } else {
    // Version, IHL, TOS; flags and offset, TTL, protocol.
    if (view.getUint16(a + ip) !== view.getUint16(b + ip)) return false;
    if (view.getInt32(a + ip + IPV4_FLAGS) !== view.getInt32(b + ip + IPV4_FLAGS)) return false;
    if (!hasDontFragment(view, b + ip)) {
      // The kernel numbers the segments from the first one on; without DF the number has a meaning (RFC 6864).
      const expected = (ipv4Identification(view, a + ip) + segments) & 0xffff;
      if (ipv4Identification(view, b + ip) !== expected) return false;
    }
  }
  // Addresses and ports.
  for (let at = headers.addresses; at < transport + 4; at += 4) {
    if (view.getInt32(a + at) !== view.getInt32(b + at)) return false;
  }
  if (headers.protocol !== IPPROTO_TCP) return true;
  return isSameTcp(view, a + transport, b + transport, headers.headersLength - transport);
}

function isSameTcp(view: DataView, a: number, b: number, headerLength: number): boolean {
  if (view.getInt32(a + TCP_ACKNOWLEDGMENT) !== view.getInt32(b + TCP_ACKNOWLEDGMENT)) return false;
  // Data offset, flags, window.
  const exceptPsh = ~(TCP_PSH << 16);
  const difference = view.getInt32(a + TCP_DATA_OFFSET) ^ view.getInt32(b + TCP_DATA_OFFSET);
  if ((difference & exceptPsh) !== 0) return false;
  if (view.getUint16(a + TCP_URGENT) !== view.getUint16(b + TCP_URGENT)) return false;
  for (let at = TCP_MIN_LENGTH; at < headerLength; at += 4) {
    if (view.getInt32(a + at) !== view.getInt32(b + at)) return false;
  }
  return true;
}

/** Returns true when two packets of one flow are equally long, by the lengths in their IP and UDP headers. */
export function isSameLength(view: DataView, headers: InnerHeaders, a: number, b: number): boolean {
  const ipLength = headers.ip + (headers.isIpv6 ? IPV6_PAYLOAD_LENGTH : IPV4_TOTAL_LENGTH);
  if (view.getUint16(a + ipLength) !== view.getUint16(b + ipLength)) return false;
  if (headers.protocol === IPPROTO_TCP) return true;
  const udpLength = headers.transport + UDP_LENGTH_FIELD;
  return view.getUint16(a + udpLength) === view.getUint16(b + udpLength);
}
