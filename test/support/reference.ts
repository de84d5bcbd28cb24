/**
 * Slow, obvious implementations to compare the dataplane with. They share neither its code nor its tricks: whole
 * arrays are copied, words are big-endian, the carry is added after every addition.
 */

import { concat, viewOf } from './bytes.js';

/** Returns the one's-complement sum of RFC 1071: big-endian words, an odd last byte padded with zero. */
export function slowSum(bytes: Uint8Array): number {
  let sum = 0;
  for (let i = 0; i < bytes.length; i += 2) {
    sum += bytes[i] * 256 + (i + 1 < bytes.length ? bytes[i + 1] : 0);
    if (sum > 0xffff) sum = sum - 0x10000 + 1;
  }
  return sum;
}

/** Returns the checksum of these bytes, in which the checksum field is zero. */
export function slowChecksum(bytes: Uint8Array): number {
  return 0xffff - slowSum(bytes);
}

/** Offsets of the parts of an Ethernet frame with TCP or UDP. */
export interface Layout {
  version: number;
  /** Offsets of the network and the transport header and of the payload; `end` is behind the payload. */
  ip: number;
  transport: number;
  payload: number;
  end: number;
  protocol: number;
  /** Offset of the transport checksum. */
  checksum: number;
}

export function layoutOf(frame: Uint8Array): Layout {
  const ip = 14;
  const view = viewOf(frame);
  const version = view.getUint8(ip) >> 4;
  const transport = version === 4 ? ip + (view.getUint8(ip) & 15) * 4 : ip + 40;
  const end = version === 4 ? ip + view.getUint16(ip + 2) : transport + view.getUint16(ip + 4);
  const protocol = view.getUint8(version === 4 ? ip + 9 : ip + 6);
  const payload = transport + (protocol === 6 ? (view.getUint8(transport + 12) >> 4) * 4 : 8);
  return { version, ip, transport, payload, end, protocol, checksum: transport + (protocol === 6 ? 16 : 6) };
}

/** RFC 9293 section 3.1 and RFC 8200 section 8.1. */
export function pseudoHeader(frame: Uint8Array): Uint8Array {
  const { version, ip, transport, end, protocol } = layoutOf(frame);
  const length = end - transport;
  return version === 4
    ? concat(frame.slice(ip + 12, ip + 20), Uint8Array.of(0, protocol, length >> 8, length & 255))
    : concat(frame.slice(ip + 8, ip + 40), Uint8Array.of(0, 0, length >> 8, length & 255, 0, 0, 0, protocol));
}

/** Returns the correct transport checksum (0 is not replaced by 0xffff). */
export function transportChecksum(frame: Uint8Array): number {
  const { transport, end, checksum } = layoutOf(frame);
  const zeroed = frame.slice();
  viewOf(zeroed).setUint16(checksum, 0);
  return slowChecksum(concat(pseudoHeader(frame), zeroed.slice(transport, end)));
}

export function ipv4HeaderChecksum(frame: Uint8Array): number {
  const { ip, transport } = layoutOf(frame);
  const header = frame.slice(ip, transport);
  viewOf(header).setUint16(10, 0);
  return slowChecksum(header);
}

/** Returns true if every checksum of the frame verifies as in a receiver: the sum over all bytes is 0xffff. */
export function checksumsVerify(frame: Uint8Array): boolean {
  const { version, ip, transport, end } = layoutOf(frame);
  if (version === 4 && slowSum(frame.slice(ip, transport)) !== 0xffff) return false;
  return slowSum(concat(pseudoHeader(frame), frame.slice(transport, end))) === 0xffff;
}

/** Returns a copy of the frame with correct checksums. */
export function withChecksums(frame: Uint8Array): Uint8Array {
  const copy = frame.slice();
  const { version, ip, protocol, checksum } = layoutOf(copy);
  const view = viewOf(copy);
  if (version === 4) view.setUint16(ip + 10, ipv4HeaderChecksum(copy));
  const transport = transportChecksum(copy);
  view.setUint16(checksum, protocol === 17 && transport === 0 ? 0xffff : transport);
  return copy;
}

/** Returns a copy of the frame from a sender with checksum offload: the field holds the pseudo-header's sum only. */
export function withPartialChecksum(frame: Uint8Array): Uint8Array {
  const copy = frame.slice();
  viewOf(copy).setUint16(layoutOf(copy).checksum, slowSum(pseudoHeader(copy)));
  return copy;
}

/** Segments a TCP or UDP superpacket naively: each segment copies the headers and its part of the payload. */
export function naiveSegments(frame: Uint8Array, segmentSize: number): Uint8Array[] {
  const { version, ip, transport, payload, end, protocol } = layoutOf(frame);
  const segments: Uint8Array[] = [];
  for (let at = payload; at < end; at += segmentSize) {
    const part = frame.slice(at, Math.min(at + segmentSize, end));
    const segment = concat(frame.slice(0, payload), part);
    const view = viewOf(segment);
    const length = segment.length - transport;
    if (version === 4) {
      view.setUint16(ip + 2, segment.length - ip);
      view.setUint16(ip + 4, (view.getUint16(ip + 4) + segments.length) % 65536);
    } else {
      view.setUint16(ip + 4, length);
    }
    if (protocol === 6) {
      view.setUint32(transport + 4, (view.getUint32(transport + 4) + (at - payload)) % 2 ** 32);
      let flags = view.getUint8(transport + 13);
      if (at + segmentSize < end) flags &= 0xff - 0x01 - 0x08;
      if (at > payload) flags &= 0xff - 0x80;
      view.setUint8(transport + 13, flags);
    } else {
      view.setUint16(transport + 4, length);
    }
    segments.push(withChecksums(segment));
  }
  return segments;
}
