/**
 * The IP and UDP headers of a datagram. A socket shows only its payload, so a capture writes the headers itself: addresses,
 * ports, TOS and lengths are the real ones. TTL 64, identification 0 and UDP checksum 0 stand for unknown values.
 */

import { internetChecksum } from '../checksum/bytes.js';
import { IPV4_ADDRESSES, IPV4_MIN_LENGTH } from '../wire/ipv4.js';
import { IPV6_ADDRESSES, IPV6_LENGTH } from '../wire/ipv6.js';
import { IPPROTO_UDP, UDP_LENGTH } from '../wire/udp.js';

const TTL = 64;

export interface Endpoint {
  /** 4 or 16 bytes, in network order. */
  address: Uint8Array;
  port: number;
}

/** Returns the bytes of the headers. */
export function headersLength(isIpv6: boolean): number {
  return (isIpv6 ? IPV6_LENGTH : IPV4_MIN_LENGTH) + UDP_LENGTH;
}

/** Returns the headers of a datagram with `payload` bytes. */
export function datagramHeaders(from: Endpoint, to: Endpoint, tos: number, payload: number): Buffer {
  const isIpv6 = from.address.length === 16;
  const headers = Buffer.alloc(headersLength(isIpv6));
  const udp = Math.min(payload + UDP_LENGTH, 0xffff);
  const addressLength = from.address.length;
  const addresses = isIpv6 ? IPV6_ADDRESSES : IPV4_ADDRESSES;
  if (isIpv6) {
    headers.writeUInt32BE((0x60000000 | (tos << 20)) >>> 0, 0);
    headers.writeUInt16BE(udp, 4);
    headers[6] = IPPROTO_UDP;
    headers[7] = TTL;
  } else {
    headers[0] = 0x45;
    headers[1] = tos;
    headers.writeUInt16BE(Math.min(IPV4_MIN_LENGTH + udp, 0xffff), 2);
    headers[8] = TTL;
    headers[9] = IPPROTO_UDP;
  }
  headers.set(from.address, addresses);
  headers.set(to.address, addresses + addressLength);
  if (!isIpv6) headers.writeUInt16BE(checksumOf(headers.subarray(0, IPV4_MIN_LENGTH)), 10);
  const at = headers.length - UDP_LENGTH;
  headers.writeUInt16BE(from.port, at);
  headers.writeUInt16BE(to.port, at + 2);
  headers.writeUInt16BE(udp, at + 4);
  return headers;
}

/** Returns a copy of an IPv4 packet with the TTL that it had before the tunnel lowered it by one. */
export function withTtlRestored(packet: Uint8Array): Uint8Array {
  const copy = Buffer.from(packet);
  const length = 4 * ((copy[0] ?? 0) & 0xf);
  if (length < IPV4_MIN_LENGTH || copy.length < length) return copy;
  copy[8] = (copy[8] ?? 0) + 1;
  copy.writeUInt16BE(0, 10);
  copy.writeUInt16BE(checksumOf(copy.subarray(0, length)), 10);
  return copy;
}

function checksumOf(header: Buffer): number {
  return internetChecksum(new DataView(header.buffer, header.byteOffset, header.length));
}
