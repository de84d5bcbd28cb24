/**
 * Where the TCP or UDP header of an inner frame is, for the code that finishes checksums and segments.
 *
 * The packet is checked once, here: after `locate` returned true, every header this object names is inside the frame
 * and the wire accessors may be used on it.
 */

import { ETHERNET_LENGTH, ETHERTYPE_IPV4, ETHERTYPE_IPV6, etherType } from '../wire/ethernet.js';
import {
  IPV4_MIN_LENGTH,
  ipv4HeaderLength,
  ipv4Protocol,
  ipv4TotalLength,
  ipv4Version,
  isIpv4Fragment,
} from '../wire/ipv4.js';
import { IPV6_LENGTH, ipv6NextHeader, ipv6PayloadLength, ipv6Version } from '../wire/ipv6.js';
import { IPPROTO_TCP, TCP_CHECKSUM, TCP_MIN_LENGTH, tcpHeaderLength } from '../wire/tcp.js';
import { IPPROTO_UDP, UDP_CHECKSUM, UDP_LENGTH } from '../wire/udp.js';

/** Reused for packet after packet; its fields hold until the next `locate`. All are arena offsets or bytes. */
export class Layer4 {
  isIpv6 = false;
  /** IPPROTO_TCP or IPPROTO_UDP. */
  protocol = 0;
  ip = 0;
  /** Source and destination address, `addressBytes` in all. */
  addresses = 0;
  addressBytes = 0;
  header = 0;
  headerLength = 0;
  checksumField = 0;
  /** Bytes of layer-4 header and payload, by the IP header. */
  length = 0;

  /** Looks at the frame of `frameLength` bytes at `frame`; false when it is not whole, plain TCP or UDP over IP. */
  locate(view: DataView, frame: number, frameLength: number): boolean {
    const ip = frame + ETHERNET_LENGTH;
    const available = frameLength - ETHERNET_LENGTH;
    if (available < IPV4_MIN_LENGTH) return false;
    const type = etherType(view, frame);
    this.ip = ip;
    if (type === ETHERTYPE_IPV4) {
      const ipHeader = ipv4HeaderLength(view, ip);
      const total = ipv4TotalLength(view, ip);
      if (
        ipv4Version(view, ip) !== 4 ||
        ipHeader < IPV4_MIN_LENGTH ||
        total < ipHeader ||
        total > available
      ) {
        return false;
      }
      if (isIpv4Fragment(view, ip)) return false;
      this.isIpv6 = false;
      this.protocol = ipv4Protocol(view, ip);
      this.addresses = ip + 12;
      this.addressBytes = 8;
      this.header = ip + ipHeader;
      this.length = total - ipHeader;
    } else if (type === ETHERTYPE_IPV6) {
      if (available < IPV6_LENGTH || ipv6Version(view, ip) !== 6) return false;
      this.isIpv6 = true;
      this.protocol = ipv6NextHeader(view, ip);
      this.addresses = ip + 8;
      this.addressBytes = 32;
      this.header = ip + IPV6_LENGTH;
      this.length = ipv6PayloadLength(view, ip);
      if (this.length > available - IPV6_LENGTH) return false;
    } else {
      return false;
    }
    return this.locateTransport(view);
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
