/**
 * ICMP error message, RFC 792: type @0 (1), code @1 (1), checksum @2 (2), unused @4 (4). The offending packet follows,
 * from its IP header on. `at` is the header's offset; the caller has checked that ICMP_LENGTH bytes are there.
 */

export const IPPROTO_ICMP = 1;
/** ICMPv6, RFC 4443: type, code and checksum are at the same places. */
export const IPPROTO_ICMPV6 = 58;
export const ICMP_LENGTH = 8;

export const ICMP_UNREACHABLE = 3;
export const ICMP_TIME_EXCEEDED = 11;
/** Code of ICMP_UNREACHABLE: no route to the network. */
export const ICMP_NET_UNREACHABLE = 0;
/** Code of ICMP_TIME_EXCEEDED: TTL. */
export const ICMP_TTL_EXCEEDED = 0;

/** NR_ICMP_TYPES (linux/icmp.h). */
const LAST_KNOWN_TYPE = 18;

export function icmpType(view: DataView, at: number): number {
  return view.getUint8(at);
}

/** Returns true for types that report an error, and for unknown types, which may do so (as in net/ipv4/icmp.c). */
export function isIcmpError(type: number): boolean {
  return type === 3 || type === 4 || type === 5 || type === 11 || type === 12 || type > LAST_KNOWN_TYPE;
}

/** Writes a header with checksum 0; the caller computes it over the whole message. */
export function writeIcmp(view: DataView, at: number, type: number, code: number): void {
  view.setInt32(at, (type << 24) | (code << 16));
  view.setInt32(at + 4, 0);
}

export function setIcmpChecksum(view: DataView, at: number, checksum: number): void {
  view.setUint16(at + 2, checksum);
}
