/**
 * Where the TCP or UDP header of an inner frame is, for the code that finishes checksums, segments and coalesces.
 *
 * The packet is checked once, here: after `locate` returned true, every header this object names is inside the frame
 * and the wire accessors may be used on it.
 */

import {
  ETHERNET_LENGTH,
  ETHERTYPE_IPV4,
  ETHERTYPE_IPV6,
  ETHERTYPE_VLAN,
  etherType,
  VLAN_TAG_LENGTH,
} from './ethernet.js';
import {
  IPV4_MIN_LENGTH,
  ipv4HeaderLength,
  ipv4Protocol,
  ipv4TotalLength,
  ipv4Version,
  isIpv4Fragment,
} from './ipv4.js';
import {
  IPV6_LENGTH,
  ipv6NextHeader,
  ipv6OptionLength,
  ipv6PayloadLength,
  ipv6Version,
  isIpv6Option,
} from './ipv6.js';
import { IPPROTO_TCP, TCP_CHECKSUM, TCP_MIN_LENGTH, tcpHeaderLength } from './tcp.js';
import { IPPROTO_UDP, UDP_CHECKSUM, UDP_LENGTH } from './udp.js';

/** Reused for packet after packet; its fields hold until the next `locate`. All are arena offsets or bytes. */
export class Layer4 {
  /** Bytes of link header in front of every packet. */
  readonly linkLength: number;
  isIpv6 = false;
  /** IPPROTO_TCP or IPPROTO_UDP. */
  protocol = 0;
  ip = 0;
  /** Bytes of the IP header with options and extension headers. */
  ipLength = 0;
  /** Source and destination address, `addressBytes` in all. */
  addresses = 0;
  addressBytes = 0;
  header = 0;
  headerLength = 0;
  checksumField = 0;
  /** Bytes of layer-4 header and payload, by the IP header. */
  length = 0;

  /** `linkLength`: ETHERNET_LENGTH for frames (a VLAN tag may come on top), 0 for packets that begin with their IP header. */
  constructor(linkLength: number) {
    this.linkLength = linkLength;
  }

  /** Looks at the frame of `frameLength` bytes at `frame`; false when it is not whole, unfragmented TCP or UDP over IP. */
  locate(view: DataView, frame: number, frameLength: number): boolean {
    if (frameLength < this.linkLength + IPV4_MIN_LENGTH) return false;
    if (this.linkLength === 0) return this.locateIp(view, frame, frameLength);
    let type = etherType(view, frame);
    this.ip = frame + ETHERNET_LENGTH;
    if (type === ETHERTYPE_VLAN) {
      type = etherType(view, frame + VLAN_TAG_LENGTH);
      this.ip += VLAN_TAG_LENGTH;
    }
    const available = frame + frameLength - this.ip;
    if (type === ETHERTYPE_IPV4) return this.locateIpv4(view, available) && this.locateTransport(view);
    if (type === ETHERTYPE_IPV6) return this.locateIpv6(view, available) && this.locateTransport(view);
    return false;
  }

  private locateIp(view: DataView, packet: number, length: number): boolean {
    this.ip = packet;
    const found =
      ipv4Version(view, packet) === 4 ? this.locateIpv4(view, length) : this.locateIpv6(view, length);
    return found && this.locateTransport(view);
  }

  private locateIpv4(view: DataView, available: number): boolean {
    const { ip } = this;
    if (available < IPV4_MIN_LENGTH || ipv4Version(view, ip) !== 4) return false;
    const total = ipv4TotalLength(view, ip);
    this.isIpv6 = false;
    this.ipLength = ipv4HeaderLength(view, ip);
    this.protocol = ipv4Protocol(view, ip);
    this.addresses = ip + 12;
    this.addressBytes = 8;
    this.header = ip + this.ipLength;
    this.length = total - this.ipLength;
    return (
      this.ipLength >= IPV4_MIN_LENGTH && this.length >= 0 && total <= available && !isIpv4Fragment(view, ip)
    );
  }

  private locateIpv6(view: DataView, available: number): boolean {
    const { ip } = this;
    if (available < IPV6_LENGTH || ipv6Version(view, ip) !== 6) return false;
    const end = ip + IPV6_LENGTH + ipv6PayloadLength(view, ip);
    if (end > ip + available) return false;
    let header = ip + IPV6_LENGTH;
    let protocol = ipv6NextHeader(view, ip);
    while (isIpv6Option(protocol)) {
      if (header + 8 > end) return false;
      protocol = view.getUint8(header);
      header += ipv6OptionLength(view, header);
    }
    this.isIpv6 = true;
    this.ipLength = header - ip;
    this.protocol = protocol;
    this.addresses = ip + 8;
    this.addressBytes = 32;
    this.header = header;
    this.length = end - header;
    return true;
  }

  private locateTransport(view: DataView): boolean {
    if (this.protocol === IPPROTO_TCP) {
      if (this.length < TCP_MIN_LENGTH) return false;
      this.headerLength = tcpHeaderLength(view, this.header);
      this.checksumField = this.header + TCP_CHECKSUM;
      return this.headerLength >= TCP_MIN_LENGTH && this.headerLength <= this.length;
    }
    this.headerLength = UDP_LENGTH;
    this.checksumField = this.header + UDP_CHECKSUM;
    return this.protocol === IPPROTO_UDP && this.length >= UDP_LENGTH;
  }
}
