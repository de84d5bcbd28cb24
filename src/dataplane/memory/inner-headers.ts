/**
 * The headers of an inner packet: where its IP header and its TCP or UDP header are.
 *
 * All offsets count from the packet's first byte (the link header, where there is one). So they also hold for a copy of
 * the headers, and after a tunnel header was added or removed. While `transport` is not 0, every header named here is
 * inside the packet and the wire accessors may be used on it.
 */

import {
  ETHERNET_LENGTH,
  ETHERTYPE_IPV4,
  ETHERTYPE_IPV6,
  ETHERTYPE_VLAN,
  etherType,
  VLAN_TAG_LENGTH,
} from '../wire/ethernet.js';
import {
  IPV4_ADDRESSES,
  IPV4_MIN_LENGTH,
  ipv4HeaderLength,
  ipv4Protocol,
  ipv4TotalLength,
  ipv4Version,
  isIpv4Fragment,
} from '../wire/ipv4.js';
import {
  IPV6_ADDRESSES,
  IPV6_LENGTH,
  ipv6NextHeader,
  ipv6OptionLength,
  ipv6PayloadLength,
  ipv6Version,
  isIpv6Option,
} from '../wire/ipv6.js';
import { IPPROTO_TCP, TCP_CHECKSUM, TCP_MIN_LENGTH, tcpHeaderLength } from '../wire/tcp.js';
import { IPPROTO_UDP, UDP_CHECKSUM, UDP_LENGTH } from '../wire/udp.js';

export class InnerHeaders {
  /** Offset of the IP header; -1 for a packet that is not IP or has no whole IP header. */
  ip = -1;
  isIpv6 = false;
  /** Offset of the TCP or UDP header; 0 for any other packet, and for a fragment. The fields below need it. */
  transport = 0;
  /** IPPROTO_TCP or IPPROTO_UDP. */
  protocol = 0;
  /** Bytes of TCP or UDP header and payload, by the IP header. */
  transportLength = 0;
  /** Bytes of all headers, so also the offset of the payload. */
  headersLength = 0;

  /** Offset of source and destination address. */
  get addresses(): number {
    return this.ip + (this.isIpv6 ? IPV6_ADDRESSES : IPV4_ADDRESSES);
  }

  /** Bytes of both addresses. */
  get addressBytes(): number {
    return this.isIpv6 ? 32 : 8;
  }

  /** Offset of the TCP or UDP checksum. */
  get checksumField(): number {
    return this.transport + (this.protocol === IPPROTO_TCP ? TCP_CHECKSUM : UDP_CHECKSUM);
  }

  /**
   * Parses the packet of `length` bytes at `packet` up to the fixed part of its IP header. `linkLength`:
   * ETHERNET_LENGTH for a frame (one VLAN tag may come on top), 0 for an IP packet. Returns false when there is no
   * whole IP header.
   */
  parseIp(view: DataView, packet: number, length: number, linkLength: number): boolean {
    this.ip = -1;
    this.transport = 0;
    if (length < linkLength + IPV4_MIN_LENGTH) return false;
    let ip = linkLength;
    if (linkLength === 0) {
      this.isIpv6 = ipv6Version(view, packet) === 6;
    } else {
      let type = etherType(view, packet);
      if (type === ETHERTYPE_VLAN) {
        type = etherType(view, packet + VLAN_TAG_LENGTH);
        ip = ETHERNET_LENGTH + VLAN_TAG_LENGTH;
      }
      this.isIpv6 = type === ETHERTYPE_IPV6;
      if (!this.isIpv6 && type !== ETHERTYPE_IPV4) return false;
    }
    if (ip + (this.isIpv6 ? IPV6_LENGTH : IPV4_MIN_LENGTH) > length) return false;
    if (ipv4Version(view, packet + ip) !== (this.isIpv6 ? 6 : 4)) return false;
    this.ip = ip;
    return true;
  }

  /**
   * Parses the rest of the packet, after `parseIp` returned true for it. Returns false unless it is whole, unfragmented
   * TCP or UDP.
   */
  parseTransport(view: DataView, packet: number, length: number): boolean {
    const found =
      (this.isIpv6 ? this.parseIpv6(view, packet, length) : this.parseIpv4(view, packet, length)) &&
      this.parseTcpOrUdp(view, packet);
    if (!found) this.transport = 0;
    return found;
  }

  private parseIpv4(view: DataView, packet: number, length: number): boolean {
    const { ip } = this;
    const headerLength = ipv4HeaderLength(view, packet + ip);
    const total = ipv4TotalLength(view, packet + ip);
    this.protocol = ipv4Protocol(view, packet + ip);
    this.transport = ip + headerLength;
    this.transportLength = total - headerLength;
    return (
      headerLength >= IPV4_MIN_LENGTH &&
      total >= headerLength &&
      ip + total <= length &&
      !isIpv4Fragment(view, packet + ip)
    );
  }

  private parseIpv6(view: DataView, packet: number, length: number): boolean {
    const { ip } = this;
    const end = ip + IPV6_LENGTH + ipv6PayloadLength(view, packet + ip);
    if (end > length) return false;
    let header = ip + IPV6_LENGTH;
    let protocol = ipv6NextHeader(view, packet + ip);
    while (isIpv6Option(protocol)) {
      if (header + 8 > end) return false;
      protocol = view.getUint8(packet + header);
      header += ipv6OptionLength(view, packet + header);
    }
    this.protocol = protocol;
    this.transport = header;
    this.transportLength = end - header;
    return true;
  }

  private parseTcpOrUdp(view: DataView, packet: number): boolean {
    const { protocol, transport, transportLength } = this;
    if (protocol === IPPROTO_TCP) {
      if (transportLength < TCP_MIN_LENGTH) return false;
      const headerLength = tcpHeaderLength(view, packet + transport);
      this.headersLength = transport + headerLength;
      return headerLength >= TCP_MIN_LENGTH && headerLength <= transportLength;
    }
    this.headersLength = transport + UDP_LENGTH;
    return protocol === IPPROTO_UDP && transportLength >= UDP_LENGTH;
  }
}
