/**
 * IPv6 header, RFC 8200 section 3:
 *
 *     0: version 4, traffic class 8, flow label 20 | 4: payload length | 6: next header | 7: hop limit
 *     8: source | 24: destination
 *
 * `at` is the header's offset; the caller has checked that IPV6_LENGTH bytes are there.
 */

export const IPV6_LENGTH = 40;
export const IPV6_PAYLOAD_LENGTH = 4;
/** Next header; hop limit follows. */
export const IPV6_NEXT_HEADER = 6;
/** Source, then destination: 32 bytes. */
export const IPV6_ADDRESSES = 8;

export function ipv6Version(view: DataView, at: number): number {
  return view.getUint8(at) >> 4;
}

/** Returns DSCP and ECN. */
export function ipv6TrafficClass(view: DataView, at: number): number {
  return (view.getUint16(at) >> 4) & 0xff;
}

export function setIpv6TrafficClass(view: DataView, at: number, trafficClass: number): void {
  view.setUint16(at, (view.getUint16(at) & 0xf00f) | (trafficClass << 4));
}

/** Returns the bytes after the header. */
export function ipv6PayloadLength(view: DataView, at: number): number {
  return view.getUint16(at + IPV6_PAYLOAD_LENGTH);
}

export function setIpv6PayloadLength(view: DataView, at: number, length: number): void {
  view.setUint16(at + IPV6_PAYLOAD_LENGTH, length);
}

export function ipv6NextHeader(view: DataView, at: number): number {
  return view.getUint8(at + IPV6_NEXT_HEADER);
}

/**
 * Returns true for an extension header that may precede TCP or UDP. Its first byte is the next header, its second the
 * length.
 */
export function isIpv6Option(nextHeader: number): boolean {
  return nextHeader === 0 || nextHeader === 43 || nextHeader === 60;
}

/**
 * Returns the bytes of the extension header at `at`; its length field counts 8-byte units beyond the first (RFC 8200
 * section 4.3).
 */
export function ipv6OptionLength(view: DataView, at: number): number {
  return (view.getUint8(at + 1) + 1) * 8;
}
