/**
 * Software TCP segmentation: a superpacket becomes frames of at most `segmentSize` bytes of payload each.
 *
 * Only headers are built, in a scratch of their own; the payload stays where it is and is named by offset and length,
 * for an iovec. The rules are those of tcp_gso_segment and inet_gso_segment (net/ipv4/tcp_offload.c, af_inet.c): the
 * identification and the sequence number count on, FIN and PSH go with the last segment, CWR with the first.
 */

import { Checksum } from '../checksum/checksum.js';
import type { Arena } from '../memory/arena.js';
import { ETHERNET_LENGTH } from '../wire/ethernet.js';
import { ipv4Identification, setIpv4Identification, setIpv4TotalLength } from '../wire/ipv4.js';
import { IPV6_LENGTH, setIpv6PayloadLength } from '../wire/ipv6.js';
import {
  IPPROTO_TCP,
  setTcpFlags,
  setTcpSequence,
  TCP_CHECKSUM,
  TCP_CWR,
  TCP_FIN,
  TCP_PSH,
  tcpFlags,
  tcpSequence,
} from '../wire/tcp.js';
import { Layer4 } from './layer4.js';

/** Ethernet, the longest IPv4 header (longer than IPv6's) and the longest TCP header: 14 + 60 + 60. */
const MAX_HEADERS = 134;

export class Segmenter {
  /** The segment that the last `next` made: its headers, then its payload. Arena offsets and bytes. */
  readonly headerOffset: number;
  headerLength = 0;
  payloadOffset = 0;
  payloadLength = 0;

  private readonly arena: Arena;
  private readonly checksum: Checksum;
  private readonly layer4 = new Layer4();
  private segmentSize = 0;
  private payloadEnd = 0;
  private flags = 0;
  private first = true;

  constructor(arena: Arena, checksum: Checksum) {
    this.arena = arena;
    this.checksum = checksum;
    this.headerOffset = arena.reserve(MAX_HEADERS);
  }

  /** Starts on the TCP frame of `length` bytes at `frame`; `segmentSize` > 0. False when it is none. */
  begin(frame: number, length: number, segmentSize: number): boolean {
    const { view, bytes } = this.arena;
    const { layer4 } = this;
    this.payloadLength = 0;
    this.payloadOffset = 0;
    this.payloadEnd = 0;
    if (!layer4.locate(view, frame, length) || layer4.protocol !== IPPROTO_TCP) return false;
    this.headerLength = layer4.header + layer4.headerLength - frame;
    this.payloadOffset = frame + this.headerLength;
    this.payloadEnd = layer4.header + layer4.length;
    this.segmentSize = segmentSize;
    this.flags = tcpFlags(view, layer4.header);
    this.first = true;
    bytes.copyWithin(this.headerOffset, frame, frame + this.headerLength);
    return true;
  }

  /** Makes the next segment; false when there is none left. */
  next(): boolean {
    const left = this.payloadEnd - this.payloadOffset - this.payloadLength;
    if (left <= 0) return false;
    const { view } = this.arena;
    const ip = this.headerOffset + ETHERNET_LENGTH;
    const tcp = this.headerOffset + this.layer4.header - this.layer4.ip + ETHERNET_LENGTH;
    if (!this.first) {
      setTcpSequence(view, tcp, tcpSequence(view, tcp) + this.payloadLength);
      if (!this.layer4.isIpv6) setIpv4Identification(view, ip, ipv4Identification(view, ip) + 1);
    }
    this.payloadOffset += this.payloadLength;
    this.payloadLength = Math.min(left, this.segmentSize);
    this.writeFlags(tcp, left === this.payloadLength);
    this.writeLengths(ip, this.layer4.headerLength + this.payloadLength);
    this.writeChecksum(tcp, this.layer4.headerLength + this.payloadLength);
    this.first = false;
    return true;
  }

  private writeFlags(tcp: number, last: boolean): void {
    let flags = this.flags;
    if (!last) flags &= ~(TCP_FIN | TCP_PSH);
    if (!this.first) flags &= ~TCP_CWR;
    setTcpFlags(this.arena.view, tcp, flags);
  }

  private writeLengths(ip: number, transport: number): void {
    const { view } = this.arena;
    const { layer4 } = this;
    if (layer4.isIpv6) {
      setIpv6PayloadLength(view, ip, layer4.header - layer4.ip - IPV6_LENGTH + transport);
    } else {
      setIpv4TotalLength(view, ip, layer4.header - layer4.ip + transport);
      this.checksum.writeIpv4Header(ip);
    }
  }

  /** A TCP header's length is a multiple of 4, so the payload's sum may be added to it as it is. */
  private writeChecksum(tcp: number, transport: number): void {
    const { checksum, layer4 } = this;
    const { view } = this.arena;
    view.setUint16(tcp + TCP_CHECKSUM, 0);
    const sum =
      checksum.pseudoHeader(layer4.addresses, layer4.addressBytes, IPPROTO_TCP, transport) +
      checksum.partial(tcp, layer4.headerLength) +
      checksum.partial(this.payloadOffset, this.payloadLength);
    view.setUint16(tcp + TCP_CHECKSUM, Checksum.finish(sum));
  }
}
