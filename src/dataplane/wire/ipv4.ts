/**
 * IPv4 header, RFC 791 section 3.1:
 *
 *     0: version 4, IHL 4 | 1: TOS | 2: total length | 4: identification | 6: flags 3, fragment offset 13
 *     8: TTL | 9: protocol | 10: header checksum | 12: source | 16: destination | 20: options
 *
 * `at` is the header's offset; the caller has checked that IPV4_MIN_LENGTH bytes are there. Addresses are signed 32-bit
 * numbers in host order.
 */

export const IPV4_MIN_LENGTH = 20;
export const IPV4_TOTAL_LENGTH = 2;
const IPV4_IDENTIFICATION = 4;
/** Flags and fragment offset; TTL and protocol follow. */
export const IPV4_FLAGS = 6;
/** Source, then destination: 8 bytes. */
export const IPV4_ADDRESSES = 12;

export function ipv4Version(view: DataView, at: number): number {
  return view.getUint8(at) >> 4;
}

/** Returns the bytes of the header with its options. */
export function ipv4HeaderLength(view: DataView, at: number): number {
  return (view.getUint8(at) & 0x0f) * 4;
}

/** Returns DSCP and ECN. */
export function ipv4Tos(view: DataView, at: number): number {
  return view.getUint8(at + 1);
}

/** Returns the bytes of header and payload. */
export function ipv4TotalLength(view: DataView, at: number): number {
  return view.getUint16(at + IPV4_TOTAL_LENGTH);
}

export function setIpv4TotalLength(view: DataView, at: number, length: number): void {
  view.setUint16(at + IPV4_TOTAL_LENGTH, length);
}

export function ipv4Identification(view: DataView, at: number): number {
  return view.getUint16(at + IPV4_IDENTIFICATION);
}

export function setIpv4Identification(view: DataView, at: number, identification: number): void {
  view.setUint16(at + IPV4_IDENTIFICATION, identification);
}

/** Returns true for DF: routers must not fragment the packet, and its identification has no meaning (RFC 6864). */
export function hasDontFragment(view: DataView, at: number): boolean {
  return (view.getUint16(at + IPV4_FLAGS) & 0x4000) !== 0;
}

/** Returns true for a fragment other than the first, which has no layer-4 header. */
export function isLaterIpv4Fragment(view: DataView, at: number): boolean {
  return (view.getUint16(at + IPV4_FLAGS) & 0x1fff) !== 0;
}

/** Returns true for any fragment: MF is set, or the offset is not 0. */
export function isIpv4Fragment(view: DataView, at: number): boolean {
  return (view.getUint16(at + IPV4_FLAGS) & 0x3fff) !== 0;
}

export function ipv4Ttl(view: DataView, at: number): number {
  return view.getUint8(at + 8);
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

export function ipv4Source(view: DataView, at: number): number {
  return view.getInt32(at + IPV4_ADDRESSES);
}

export function ipv4Destination(view: DataView, at: number): number {
  return view.getInt32(at + IPV4_ADDRESSES + 4);
}

/** Sets DSCP and ECN and updates the header checksum. */
export function replaceIpv4Tos(view: DataView, at: number, tos: number): void {
  replaceWord(view, at, 0, (view.getUint16(at) & 0xff00) | tos);
}

/** Sets total length and identification and updates the header checksum. */
export function replaceIpv4Length(view: DataView, at: number, length: number, identification: number): void {
  replaceWord(view, at, IPV4_TOTAL_LENGTH, length);
  replaceWord(view, at, IPV4_IDENTIFICATION, identification);
}

/** Decrements the TTL, which is not 0, and updates the header checksum. */
export function decrementIpv4Ttl(view: DataView, at: number): void {
  replaceWord(view, at, 8, view.getUint16(at + 8) - 0x100);
}

/** Sets the 16-bit word at offset `word` and updates the checksum. RFC 1624, equation 3: HC' = ~(~HC + ~m + m'). */
function replaceWord(view: DataView, at: number, word: number, value: number): void {
  const before = view.getUint16(at + word);
  let sum = (~ipv4HeaderChecksum(view, at) & 0xffff) + (~before & 0xffff) + value;
  sum = (sum & 0xffff) + (sum >>> 16);
  sum = (sum & 0xffff) + (sum >>> 16);
  view.setUint16(at + word, value);
  setIpv4HeaderChecksum(view, at, ~sum & 0xffff);
}

/** Writes a header of 20 bytes with DF, TTL 64 and checksum 0. `length`: bytes of header and payload. */
export function writeIpv4(view: DataView, at: number, tos: number, length: number, protocol: number): void {
  view.setInt32(at, 0x45000000 | (tos << 16) | length);
  view.setInt32(at + 4, 0x4000);
  view.setInt32(at + 8, (64 << 24) | (protocol << 16));
}

export function setIpv4Addresses(view: DataView, at: number, source: number, destination: number): void {
  view.setInt32(at + IPV4_ADDRESSES, source);
  view.setInt32(at + IPV4_ADDRESSES + 4, destination);
}
