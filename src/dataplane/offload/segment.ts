/**
 * Software segmentation: a TCP or UDP superpacket becomes packets of at most `gsoSize` bytes of payload each.
 *
 * Only headers are written, at an offset that the caller chooses. The payload stays in place; the caller gets its
 * offset and length for an iovec. The rules are those of tcp_gso_segment, __udp_gso_segment and inet_gso_segment
 * (net/ipv4/tcp_offload.c, udp_offload.c, af_inet.c). Identification and sequence number count up; FIN and PSH are set
 * in the last segment only, CWR in the first.
 *
 * Checksums: everything that is equal in all segments is summed once; a segment adds its length, identification,
 * sequence number, flags and payload. Sums are in the machine's byte order, so a field's value is added byte-swapped
 * (RFC 1071 section 2(B)).
 */

import { Checksum, swap } from '../checksum/checksum.js';
import type { Arena } from '../memory/arena.js';
import { InnerHeaders } from '../memory/inner-headers.js';
import {
  ipv4Identification,
  setIpv4HeaderChecksum,
  setIpv4Identification,
  setIpv4TotalLength,
} from '../wire/ipv4.js';
import { IPV6_LENGTH, setIpv6PayloadLength } from '../wire/ipv6.js';
import {
  IPPROTO_TCP,
  setTcpFlags,
  setTcpSequence,
  TCP_CWR,
  TCP_FIN,
  TCP_PSH,
  tcpFlags,
  tcpSequence,
} from '../wire/tcp.js';
import { IPPROTO_UDP, setUdpLength } from '../wire/udp.js';

/** Ethernet with a VLAN tag, the longest IPv4 header (longer than IPv6's) and the longest TCP header: 18 + 60 + 60. */
export const MAX_HEADERS = 138;

/**
 * TCP_MIN_GSO_SIZE (include/net/tcp.h, 5.2): no TCP socket of the kernel makes smaller segments. Only a program that writes
 * superpackets itself does.
 */
export const MIN_TCP_SEGMENT = 8;

/**
 * Returns false for a superpacket that is neither TCP nor UDP, and for one whose IPv6 extension headers make its headers
 * longer than MAX_HEADERS.
 */
export function isSegmentable(headers: InnerHeaders): boolean {
  return headers.transport !== 0 && headers.headersLength <= MAX_HEADERS;
}

export class Segmenter {
  /** Number of segments, and the bytes of headers each has, the tunnel header included. */
  count = 0;
  headersLength = 0;
  /** The payload of the segment that `write` made last. */
  payloadOffset = 0;
  payloadLength = 0;

  private readonly arena: Arena;
  private readonly checksum: Checksum;
  /** The headers of the superpacket, and the bytes of tunnel header in front of them. */
  private headers = new InnerHeaders();
  private tunnelLength = 0;
  /** Arena offset of the headers that every segment gets: the tunnel header, if there is one, then the packet's. */
  private template = 0;
  private payload = 0;
  private payloadTotal = 0;
  private gsoSize = 0;
  private flags = 0;
  private sequence = 0;
  private identification = 0;
  private ipSum = 0;
  private transportSum = 0;

  constructor(arena: Arena, checksum: Checksum) {
    this.arena = arena;
    this.checksum = checksum;
  }

  /**
   * Starts on the superpacket at `packet`, located by `headers`, with `gsoSize` > 0 bytes of payload per segment. The
   * `tunnelLength` bytes in front of it are repeated in front of every segment.
   *
   * Returns false unless it is segmentable. The superpacket becomes a template: the fields that differ between segments
   * are cleared.
   */
  begin(packet: number, headers: InnerHeaders, gsoSize: number, tunnelLength = 0): boolean {
    const { view } = this.arena;
    const { checksum } = this;
    if (!isSegmentable(headers)) return false;
    const transport = packet + headers.transport;
    const transportHeaderLength = headers.headersLength - headers.transport;
    this.headers = headers;
    this.tunnelLength = tunnelLength;
    this.template = packet - tunnelLength;
    this.headersLength = tunnelLength + headers.headersLength;
    this.payload = packet + headers.headersLength;
    this.payloadTotal = headers.transportLength - transportHeaderLength;
    this.gsoSize = gsoSize;
    this.count = Math.max(1, Math.ceil(this.payloadTotal / gsoSize));
    view.setUint16(packet + headers.checksumField, 0);
    if (headers.protocol === IPPROTO_TCP) {
      this.flags = tcpFlags(view, transport);
      this.sequence = tcpSequence(view, transport);
      setTcpFlags(view, transport, 0);
      setTcpSequence(view, transport, 0);
    } else {
      setUdpLength(view, transport, 0);
    }
    this.transportSum =
      checksum.pseudoHeader(packet + headers.addresses, headers.addressBytes, headers.protocol, 0) +
      checksum.sum(transport, transportHeaderLength);
    if (!headers.isIpv6) {
      const ip = packet + headers.ip;
      this.identification = ipv4Identification(view, ip);
      setIpv4TotalLength(view, ip, 0);
      setIpv4Identification(view, ip, 0);
      setIpv4HeaderChecksum(view, ip, 0);
      this.ipSum = checksum.sum(ip, transport - ip);
    }
    return true;
  }

  /** Returns the bytes of segment `index`, all headers included. */
  segmentLength(index: number): number {
    return this.headersLength + Math.min(this.payloadTotal - index * this.gsoSize, this.gsoSize);
  }

  /**
   * Writes the headers of segment `index` to arena offset `at` and sets `payloadOffset` and `payloadLength`. Overwrites
   * up to 3 bytes behind the headers.
   */
  write(index: number, at: number): void {
    const { view } = this.arena;
    const { headers } = this;
    this.copyTemplate(at);
    const start = index * this.gsoSize;
    this.payloadOffset = this.payload + start;
    this.payloadLength = this.segmentLength(index) - this.headersLength;
    const packet = at + this.tunnelLength;
    const ip = packet + headers.ip;
    const transport = packet + headers.transport;
    const ipHeaderLength = headers.transport - headers.ip;
    const transportLength = headers.headersLength - headers.transport + this.payloadLength;
    if (headers.isIpv6) {
      setIpv6PayloadLength(view, ip, ipHeaderLength - IPV6_LENGTH + transportLength);
    } else {
      const total = ipHeaderLength + transportLength;
      const identification = (this.identification + index) & 0xffff;
      setIpv4TotalLength(view, ip, total);
      setIpv4Identification(view, ip, identification);
      setIpv4HeaderChecksum(view, ip, Checksum.field(this.ipSum + swap(total) + swap(identification)));
    }
    let sum =
      this.transportSum + swap(transportLength) + this.checksum.sum(this.payloadOffset, this.payloadLength);
    if (headers.protocol === IPPROTO_TCP) {
      const sequence = (this.sequence + start) | 0;
      let flags = this.flags;
      if (index < this.count - 1) flags &= ~(TCP_FIN | TCP_PSH);
      if (index > 0) flags &= ~TCP_CWR;
      setTcpSequence(view, transport, sequence);
      setTcpFlags(view, transport, flags);
      sum += swap(sequence >>> 16) + swap(sequence & 0xffff) + swap(flags);
    } else {
      setUdpLength(view, transport, transportLength);
      sum += swap(transportLength);
    }
    const field = Checksum.field(sum);
    // A UDP checksum of 0 means that there is no checksum (RFC 768).
    const written = field === 0 && headers.protocol === IPPROTO_UDP ? 0xffff : field;
    view.setUint16(packet + headers.checksumField, written);
  }

  /** Copies word by word: for so few bytes copyWithin, a call out of compiled code, costs several times as much. */
  private copyTemplate(at: number): void {
    const { view } = this.arena;
    const { template, headersLength } = this;
    for (let i = 0; i < headersLength; i += 4) view.setInt32(at + i, view.getInt32(template + i));
  }
}
