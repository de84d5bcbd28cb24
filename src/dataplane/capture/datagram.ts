/**
 * The headers of a datagram. A socket shows only its payload, so a capture writes the headers itself: addresses, ports,
 * TOS and lengths are the real ones. MAC addresses of zeros, TTL 64, identification 0 and UDP checksum 0 stand for unknown
 * values.
 */

import { internetChecksum } from '../checksum/bytes.js';
import { ETHERNET_LENGTH, ETHERTYPE_IPV4, ETHERTYPE_IPV6 } from '../wire/ethernet.js';
import { IPV4_ADDRESSES, IPV4_MIN_LENGTH } from '../wire/ipv4.js';
import { IPV6_ADDRESSES, IPV6_LENGTH } from '../wire/ipv6.js';
import { IPPROTO_UDP, UDP_CHECKSUM, UDP_LENGTH } from '../wire/udp.js';

const TTL = 64;
/** An IPv6 datagram has a checksum (RFC 8200, 8.1), so this one stands for an unknown value. */
const UNKNOWN_CHECKSUM = 0xffff;

export interface Endpoint {
  /** 4 or 16 bytes, in network order. */
  address: Uint8Array;
  port: number;
}

/** Returns the Ethernet header of a packet that has none, or whose header no socket shows. */
export function ethernetHeader(isIpv6: boolean): Buffer {
  const header = Buffer.alloc(ETHERNET_LENGTH);
  header.writeUInt16BE(isIpv6 ? ETHERTYPE_IPV6 : ETHERTYPE_IPV4, 12);
  return header;
}

/** Returns the IP and UDP headers of a datagram with `length` bytes of payload, of which `payload` are captured. */
export function datagramHeaders(
  from: Endpoint,
  to: Endpoint,
  tos: number,
  payload: Uint8Array,
  length = payload.length,
): Buffer {
  const isIpv6 = from.address.length === 16;
  const headers = Buffer.alloc((isIpv6 ? IPV6_LENGTH : IPV4_MIN_LENGTH) + UDP_LENGTH);
  const udpLength = Math.min(length + UDP_LENGTH, 0xffff);
  const addressLength = from.address.length;
  const addresses = isIpv6 ? IPV6_ADDRESSES : IPV4_ADDRESSES;
  if (isIpv6) {
    headers.writeUInt32BE((0x60000000 | (tos << 20)) >>> 0, 0);
    headers.writeUInt16BE(udpLength, 4);
    headers[6] = IPPROTO_UDP;
    headers[7] = TTL;
  } else {
    headers[0] = 0x45;
    headers[1] = tos;
    headers.writeUInt16BE(Math.min(IPV4_MIN_LENGTH + udpLength, 0xffff), 2);
    headers[8] = TTL;
    headers[9] = IPPROTO_UDP;
  }
  headers.set(from.address, addresses);
  headers.set(to.address, addresses + addressLength);
  if (!isIpv6) headers.writeUInt16BE(checksumOf(headers.subarray(0, IPV4_MIN_LENGTH)), 10);
  const udp = headers.subarray(-UDP_LENGTH);
  udp.writeUInt16BE(from.port, 0);
  udp.writeUInt16BE(to.port, 2);
  udp.writeUInt16BE(udpLength, 4);
  if (isIpv6) {
    // The pseudo-header: addresses, length, next header.
    const pseudoHeader = [
      headers.subarray(IPV6_ADDRESSES, IPV6_LENGTH),
      udp.subarray(4, 6),
      Buffer.of(0, IPPROTO_UDP),
    ];
    const sum = payload.length === length ? checksumOf(Buffer.concat([...pseudoHeader, udp, payload])) : 0;
    // A checksum that is 0 is sent as 0xffff.
    udp.writeUInt16BE(sum || UNKNOWN_CHECKSUM, UDP_CHECKSUM);
  }
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

function checksumOf(bytes: Buffer): number {
  return internetChecksum(new DataView(bytes.buffer, bytes.byteOffset, bytes.length));
}
