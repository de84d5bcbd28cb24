/**
 * The model's view of a packet, from the RFCs: plain byte arrays, no tricks, no code of the dataplane.
 *
 * 16-bit fields are read and written big-endian. A sum is the one's-complement sum of RFC 1071 over big-endian words.
 */

export const TCP = 6;
export const UDP = 17;
export const ETHERNET = 14;
/** The longest headers of a superpacket that is segmented: Ethernet with a VLAN tag, IPv4 and TCP with all options. */
export const LONGEST_HEADERS = 18 + 60 + 60;

export function u16(bytes: Uint8Array, at: number): number {
  return bytes[at] * 256 + bytes[at + 1];
}

export function u32(bytes: Uint8Array, at: number): number {
  return u16(bytes, at) * 65536 + u16(bytes, at + 2);
}

export function put16(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = (value >> 8) & 255;
  bytes[at + 1] = value & 255;
}

export function put32(bytes: Uint8Array, at: number, value: number): void {
  put16(bytes, at, Math.floor(value / 65536) & 0xffff);
  put16(bytes, at + 2, value % 65536);
}

/** Returns the folded sum of the bytes from `from` to `to`, an odd last byte padded with zero, plus `start`. */
export function sum16(bytes: Uint8Array, from: number, to: number, start = 0): number {
  let sum = start;
  let at = from;
  for (; at + 1 < to; at += 2) sum += bytes[at] * 256 + bytes[at + 1];
  if (at < to) sum += bytes[at] * 256;
  while (sum > 0xffff) sum = (sum % 65536) + Math.floor(sum / 65536);
  return sum;
}

/** Where the parts of an inner packet are; offsets from its first byte. */
export interface Inner {
  /** IP header; -1 without a whole one. */
  ip: number;
  v6: boolean;
  /** TCP or UDP header of a whole, unfragmented packet; 0 otherwise. The fields below need it. */
  l4: number;
  protocol: number;
  /** Bytes of TCP or UDP header and payload. */
  l4Length: number;
  /** Offset of the layer-4 payload, and of the first byte behind the IP packet. */
  payload: number;
  end: number;
  /** Offset of the layer-4 checksum. */
  checksum: number;
}

/** Parses a packet with `link` bytes of Ethernet header (14, or 0 for none); one VLAN tag may follow it. */
export function parse(packet: Uint8Array, link: number): Inner {
  const none: Inner = { ip: -1, v6: false, l4: 0, protocol: 0, l4Length: 0, payload: 0, end: 0, checksum: 0 };
  let ip = link;
  let v6 = false;
  if (link > 0) {
    if (packet.length < link + 20) return none;
    let type = u16(packet, 12);
    if (type === 0x8100) {
      type = u16(packet, 16);
      ip += 4;
    }
    if (type !== 0x0800 && type !== 0x86dd) return none;
    v6 = type === 0x86dd;
  } else {
    if (packet.length < 20) return none;
    v6 = packet[0] >> 4 === 6;
  }
  if (packet.length < ip + (v6 ? 40 : 20) || packet[ip] >> 4 !== (v6 ? 6 : 4)) return none;
  const found = { ...none, ip, v6 };
  return v6 ? parseIpv6(packet, found) : parseIpv4(packet, found);
}

function parseIpv4(packet: Uint8Array, found: Inner): Inner {
  const { ip } = found;
  const header = (packet[ip] & 15) * 4;
  const total = u16(packet, ip + 2);
  const fragment = (u16(packet, ip + 6) & 0x3fff) !== 0;
  if (header < 20 || total < header || ip + total > packet.length || fragment) return found;
  return parseL4(packet, found, packet[ip + 9], ip + header, ip + total);
}

function parseIpv6(packet: Uint8Array, found: Inner): Inner {
  const { ip } = found;
  const end = ip + 40 + u16(packet, ip + 4);
  if (end > packet.length) return found;
  let next = packet[ip + 6];
  let at = ip + 40;
  // Hop-by-hop options, routing, destination options. A fragment header (44) ends the search.
  while (next === 0 || next === 43 || next === 60) {
    if (at + 8 > end) return found;
    next = packet[at];
    at += 8 * (packet[at + 1] + 1);
  }
  return parseL4(packet, found, next, at, end);
}

function parseL4(packet: Uint8Array, found: Inner, protocol: number, l4: number, end: number): Inner {
  const l4Length = end - l4;
  if (protocol === UDP && l4Length >= 8) {
    return { ...found, l4, protocol, l4Length, payload: l4 + 8, end, checksum: l4 + 6 };
  }
  if (protocol !== TCP || l4Length < 20) return found;
  const header = (packet[l4 + 12] >> 4) * 4;
  if (header < 20 || header > l4Length) return found;
  return { ...found, l4, protocol, l4Length, payload: l4 + header, end, checksum: l4 + 16 };
}

/** Returns the sum of the pseudo-header for `length` bytes of layer 4 (RFC 9293 section 3.1, RFC 8200 section 8.1). */
export function pseudoSum(packet: Uint8Array, inner: Inner, length = inner.l4Length): number {
  const addresses = inner.ip + (inner.v6 ? 8 : 12);
  return sum16(packet, addresses, addresses + (inner.v6 ? 32 : 8), inner.protocol + length);
}

/** Writes the correct layer-4 checksum; a UDP checksum of 0 becomes 0xffff (RFC 768). */
export function writeL4Checksum(packet: Uint8Array, inner: Inner): void {
  put16(packet, inner.checksum, 0);
  const field = 0xffff - sum16(packet, inner.l4, inner.end, pseudoSum(packet, inner));
  put16(packet, inner.checksum, field === 0 && inner.protocol === UDP ? 0xffff : field);
}

/** Writes the header checksum of the IPv4 header at `ip`. */
export function writeIpv4Checksum(packet: Uint8Array, ip: number): void {
  put16(packet, ip + 10, 0);
  put16(packet, ip + 10, 0xffff - sum16(packet, ip, ip + (packet[ip] & 15) * 4));
}

/** Returns whether the checksum field holds the pseudo-header's sum: the source left the rest to its network card. */
export function hasPartialChecksum(packet: Uint8Array, inner: Inner): boolean {
  return u16(packet, inner.checksum) === pseudoSum(packet, inner);
}

/** Returns the packets on the wire of a superpacket, or 1 for a single packet. */
export function segmentCount({ payload, end }: Inner, gsoSize: number): number {
  return gsoSize === 0 ? 1 : Math.max(1, Math.ceil((end - payload) / gsoSize));
}

/**
 * Returns the segments of a superpacket with `size` bytes of payload each. IPv4 identification and TCP sequence number
 * count up. FIN and PSH are set in the last segment only, CWR in the first. Lengths and checksums are recomputed. Bytes
 * behind the IP packet belong to no segment.
 */
export function segments(packet: Uint8Array, inner: Inner, size: number): Uint8Array[] {
  const { ip, v6, l4, payload, end, protocol } = inner;
  const result: Uint8Array[] = [];
  const count = segmentCount(inner, size);
  for (let index = 0; index < count; index++) {
    const from = payload + index * size;
    const to = Math.min(from + size, end);
    const segment = new Uint8Array(payload + to - from);
    segment.set(packet.subarray(0, payload));
    segment.set(packet.subarray(from, to), payload);
    const l4Length = segment.length - l4;
    if (v6) {
      put16(segment, ip + 4, segment.length - ip - 40);
    } else {
      put16(segment, ip + 2, segment.length - ip);
      put16(segment, ip + 4, (u16(packet, ip + 4) + index) % 65536);
      writeIpv4Checksum(segment, ip);
    }
    if (protocol === TCP) {
      put32(segment, l4 + 4, (u32(packet, l4 + 4) + index * size) % 2 ** 32);
      if (index < count - 1) segment[l4 + 13] &= 0xff - 0x01 - 0x08;
      if (index > 0) segment[l4 + 13] &= 0xff - 0x80;
    } else {
      put16(segment, l4 + 4, l4Length);
    }
    writeL4Checksum(segment, { ...inner, l4Length, end: segment.length });
    result.push(segment);
  }
  return result;
}

/**
 * Changes the byte at `at` of the IPv4 header at `ip` to `value`. A checksum that was wrong stays wrong by the same
 * amount, so that a router hides no damage (RFC 1624, equation 3).
 */
export function changeIpv4Byte(packet: Uint8Array, ip: number, at: number, value: number): void {
  const other = packet[ip + (at ^ 1)];
  changeIpv4Word(packet, ip, at & ~1, at % 2 === 0 ? value * 256 + other : other * 256 + value);
}

/** Changes the 16-bit word at `at` of the IPv4 header at `ip` in the same way. */
export function changeIpv4Word(packet: Uint8Array, ip: number, at: number, value: number): void {
  let sum = 0xffff - u16(packet, ip + 10) + (0xffff - u16(packet, ip + at)) + value;
  put16(packet, ip + at, value);
  while (sum > 0xffff) sum = (sum % 65536) + Math.floor(sum / 65536);
  put16(packet, ip + 10, 0xffff - sum);
}

/** Returns DSCP and ECN of the IP header at `ip`. */
export function tosOf(packet: Uint8Array, ip: number, v6: boolean): number {
  return v6 ? (packet[ip] & 15) * 16 + (packet[ip + 1] >> 4) : packet[ip + 1];
}

export function equalBytes(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}

export function hexOf(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('hex');
}

/** Returns the flow that a packet belongs to, for the order of packets; undefined if its ports are unknown. */
export function flowOf(packet: Uint8Array, inner: Inner): string | undefined {
  if (inner.l4 === 0) return undefined;
  const addresses = inner.ip + (inner.v6 ? 8 : 12);
  return `${inner.protocol} ${hexOf(packet.subarray(addresses, addresses + (inner.v6 ? 32 : 8)))} ${hexOf(packet.subarray(inner.l4, inner.l4 + 4))}`;
}
