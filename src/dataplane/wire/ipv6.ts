/**
 * IPv6 header, RFC 8200 section 3:
 *
 *     0: version 4, traffic class 8, flow label 20 | 4: payload length | 6: next header | 7: hop limit
 *     8: source | 24: destination
 *
 * `at` is the header's offset; the caller has checked that IPV6_LENGTH bytes are there. Extension headers are not
 * followed: a packet with one is carried as it is.
 */

export const IPV6_LENGTH = 40;

export function ipv6Version(view: DataView, at: number): number {
  return view.getUint8(at) >> 4;
}

/** Bytes after the header. */
export function ipv6PayloadLength(view: DataView, at: number): number {
  return view.getUint16(at + 4);
}

export function setIpv6PayloadLength(view: DataView, at: number, length: number): void {
  view.setUint16(at + 4, length);
}

export function ipv6NextHeader(view: DataView, at: number): number {
  return view.getUint8(at + 6);
}
