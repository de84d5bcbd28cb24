/**
 * Software segmentation: a TCP or UDP superpacket becomes frames of at most `segmentSize` bytes of payload each.
 *
 * Only headers are built, wherever the caller wants them; the payload stays where it is and is named by offset and
 * length, for an iovec. The rules are those of tcp_gso_segment, __udp_gso_segment and inet_gso_segment
 * (net/ipv4/tcp_offload.c, udp_offload.c, af_inet.c): the identification and the sequence number count on, FIN and PSH
 * go with the last segment, CWR with the first.
 *
 * Checksums: the sum over everything that is the same in all segments is taken once; a segment adds its length,
 * identification, sequence number, flags and payload. Sums are in the machine's byte order, so a field's value is
 * added byte-swapped (RFC 1071 section 2(B)).
 */

import { Checksum, swap } from '../checksum/checksum.js';
import type { Arena } from '../memory/arena.js';
import { Layer4 } from '../wire/inner-headers.js';
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

export class Segmenter {
  /** Number of segments, and the bytes of headers each has, `prefix` included. */
  count = 0;
  headerLength = 0;
  /** The payload of the segment that `write` made last. */
  payloadOffset = 0;
  payloadLength = 0;

  private readonly arena: Arena;
  private readonly checksum: Checksum;
  private readonly layer4: Layer4;
  /** Where the headers that every segment gets begin: the prefix, if there is one, then the frame. */
  private template = 0;
  private payload = 0;
  private payloadTotal = 0;
  private segmentSize = 0;
  private flags = 0;
  private sequence = 0;
  private identification = 0;
  private ipSum = 0;
  private transportSum = 0;

  /** `linkLength`: that of every packet (see Layer4). */
  constructor(arena: Arena, checksum: Checksum, linkLength: number) {
    this.arena = arena;
    this.checksum = checksum;
    this.layer4 = new Layer4(linkLength);
  }

  /**
   * Starts on the TCP or UDP frame of `length` bytes at `frame`; `segmentSize` > 0. `prefix` bytes of tunnel header in
   * front of it are repeated in front of every segment. False when it is neither TCP nor UDP, or when IPv6 extension
   * headers make its headers longer than MAX_HEADERS. The frame's checksum fields are cleared: it is a template from
   * now on.
   */
  begin(frame: number, length: number, segmentSize: number, prefix = 0): boolean {
    const { view } = this.arena;
    const { layer4, checksum } = this;
    if (!layer4.locate(view, frame, length)) return false;
    this.payload = layer4.header + layer4.headerLength;
    if (this.payload - frame > MAX_HEADERS) return false;
    const isTcp = layer4.protocol === IPPROTO_TCP;
    this.template = frame - prefix;
    this.headerLength = this.payload - this.template;
    this.payloadTotal = layer4.length - layer4.headerLength;
    this.segmentSize = segmentSize;
    this.count = Math.max(1, Math.ceil(this.payloadTotal / segmentSize));
    view.setUint16(layer4.checksumField, 0);
    if (isTcp) {
      this.flags = tcpFlags(view, layer4.header);
      this.sequence = tcpSequence(view, layer4.header);
      setTcpFlags(view, layer4.header, 0);
      setTcpSequence(view, layer4.header, 0);
    } else {
      setUdpLength(view, layer4.header, 0);
    }
    this.transportSum =
      checksum.pseudoHeader(layer4.addresses, layer4.addressBytes, layer4.protocol, 0) +
      checksum.partial(layer4.header, layer4.headerLength);
    if (!layer4.isIpv6) {
      this.identification = ipv4Identification(view, layer4.ip);
      setIpv4TotalLength(view, layer4.ip, 0);
      setIpv4Identification(view, layer4.ip, 0);
      setIpv4HeaderChecksum(view, layer4.ip, 0);
      this.ipSum = checksum.partial(layer4.ip, layer4.header - layer4.ip);
    }
    return true;
  }

  /** Bytes of segment `index`, headers and prefix included. */
  segmentLength(index: number): number {
    return this.headerLength + Math.min(this.payloadTotal - index * this.segmentSize, this.segmentSize);
  }

  /**
   * Writes the headers of segment `index` to arena offset `at` and says where its payload is. Up to 3 bytes behind the
   * headers are overwritten.
   */
  write(index: number, at: number): void {
    const { view } = this.arena;
    const { layer4, template } = this;
    this.copyTemplate(at);
    const start = index * this.segmentSize;
    this.payloadOffset = this.payload + start;
    this.payloadLength = this.segmentLength(index) - this.headerLength;
    const ip = at + layer4.ip - template;
    const transport = at + layer4.header - template;
    const transportLength = layer4.headerLength + this.payloadLength;
    if (layer4.isIpv6) {
      setIpv6PayloadLength(view, ip, layer4.header - layer4.ip - IPV6_LENGTH + transportLength);
    } else {
      const total = layer4.header - layer4.ip + transportLength;
      const identification = (this.identification + index) & 0xffff;
      setIpv4TotalLength(view, ip, total);
      setIpv4Identification(view, ip, identification);
      setIpv4HeaderChecksum(view, ip, Checksum.finish(this.ipSum + swap(total) + swap(identification)));
    }
    let sum =
      this.transportSum +
      swap(transportLength) +
      this.checksum.partial(this.payloadOffset, this.payloadLength);
    if (layer4.protocol === IPPROTO_TCP) {
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
    const finished = Checksum.finish(sum);
    // A UDP checksum of 0 would say that there is none (RFC 768).
    const written = finished === 0 && layer4.protocol === IPPROTO_UDP ? 0xffff : finished;
    view.setUint16(at + layer4.checksumField - template, written);
  }
  /** A word at a time: for so few bytes copyWithin, a call out of compiled code, costs several times as much. */
  private copyTemplate(at: number): void {
    const { view } = this.arena;
    const { template, headerLength } = this;
    for (let i = 0; i < headerLength; i += 4) view.setInt32(at + i, view.getInt32(template + i));
  }
}
