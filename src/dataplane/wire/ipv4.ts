/**
 * IPv4 header, RFC 791 section 3.1:
 *
 *     0: version 4, IHL 4 | 1: TOS | 2: total length | 4: identification | 6: flags 3, fragment offset 13
 *     8: TTL | 9: protocol | 10: header checksum | 12: source | 16: destination | 20: options
 *
 * `at` is the header's offset; the caller has checked that IPV4_MIN_LENGTH bytes are there.
 */

export const IPV4_MIN_LENGTH = 20;

export function ipv4Version(view: DataView, at: number): number {
  return view.getUint8(at) >> 4;
}

/** Bytes of the header with its options. */
export function ipv4HeaderLength(view: DataView, at: number): number {
  return (view.getUint8(at) & 0x0f) * 4;
}

/** DSCP and ECN. */
export function ipv4Tos(view: DataView, at: number): number {
  return view.getUint8(at + 1);
}

export function setIpv4Tos(view: DataView, at: number, tos: number): void {
  view.setUint8(at + 1, tos);
}

/** Bytes of header and payload. */
export function ipv4TotalLength(view: DataView, at: number): number {
  return view.getUint16(at + 2);
}

export function setIpv4TotalLength(view: DataView, at: number, length: number): void {
  view.setUint16(at + 2, length);
}

export function ipv4Identification(view: DataView, at: number): number {
  return view.getUint16(at + 4);
}

export function setIpv4Identification(view: DataView, at: number, identification: number): void {
  view.setUint16(at + 4, identification);
}

/** DF: routers may not fragment the packet, and its identification means nothing (RFC 6864). */
export function hasDontFragment(view: DataView, at: number): boolean {
  return (view.getUint16(at + 6) & 0x4000) !== 0;
}

/** True for any part of a fragmented packet: MF set or an offset. */
export function isIpv4Fragment(view: DataView, at: number): boolean {
  return (view.getUint16(at + 6) & 0x3fff) !== 0;
}

export function ipv4Protocol(view: DataView, at: number): number {
  return view.getUint8(at + 9);
}

export function ipv4HeaderChecksum(view: DataView, at: number): number {
  return view.getUint16(at + 10);
}

export function setIpv4HeaderChecksum(view: DataView, at: number, checksum: number): void {
  view.setUint16(at + 10, checksum);
}
