/**
 * What must be equal in the headers of two packets for them to be segments of one superpacket. It is compared field by
 * field at the same distance from the start of each frame, so that only one of the two needs to have been located.
 */

import type { Layer4 } from '../wire/inner-headers.js';
import { hasDontFragment, ipv4Identification } from '../wire/ipv4.js';
import { IPPROTO_TCP, TCP_PSH } from '../wire/tcp.js';

export class FlowHeaders {
  isIpv6 = false;
  protocol = 0;
  /** Distances from the frame's first byte. */
  ip = 0;
  addresses = 0;
  transport = 0;
  checksumField = 0;
  /** Bytes of the layer-4 header, and of all headers. */
  transportLength = 0;
  length = 0;

  /** Takes the layout of the frame at `frame`, which `layer4` has located. */
  take(layer4: Layer4, frame: number): void {
    this.isIpv6 = layer4.isIpv6;
    this.protocol = layer4.protocol;
    this.ip = layer4.ip - frame;
    this.addresses = layer4.addresses - frame;
    this.transport = layer4.header - frame;
    this.checksumField = layer4.checksumField - frame;
    this.transportLength = layer4.headerLength;
    this.length = this.transport + layer4.headerLength;
  }

  /**
   * True when everything that must be equal in the segments of a train is: MAC addresses, VLAN tag, DSCP and ECN, flow
   * label, DF, TTL, addresses, ports, and for TCP acknowledgment, header length, flags but PSH, window, urgent pointer,
   * options. `a` is the train's first frame, `b` would be the one after `segments` of them.
   */
  match(view: DataView, a: number, b: number, segments: number): boolean {
    const { ip, transport } = this;
    for (let at = 0; at < ip; at += 2) if (view.getUint16(a + at) !== view.getUint16(b + at)) return false;
    if (this.isIpv6) {
      // Version, traffic class, flow label; next header and hop limit.
      if (view.getInt32(a + ip) !== view.getInt32(b + ip)) return false;
      if (view.getUint16(a + ip + 6) !== view.getUint16(b + ip + 6)) return false;
    } else {
      // Version, IHL, TOS; flags and offset, TTL, protocol.
      if (view.getUint16(a + ip) !== view.getUint16(b + ip)) return false;
      if (view.getInt32(a + ip + 6) !== view.getInt32(b + ip + 6)) return false;
      if (!hasDontFragment(view, b + ip)) {
        // The kernel will number the segments on from the first (RFC 6864 gives the number a meaning without DF).
        const expected = (ipv4Identification(view, a + ip) + segments) & 0xffff;
        if (ipv4Identification(view, b + ip) !== expected) return false;
      }
    }
    for (let at = this.addresses; at < transport + 4; at += 4) {
      if (view.getInt32(a + at) !== view.getInt32(b + at)) return false;
    }
    return this.protocol !== IPPROTO_TCP || this.matchTcp(view, a + transport, b + transport);
  }

  private matchTcp(view: DataView, a: number, b: number): boolean {
    if (view.getInt32(a + 8) !== view.getInt32(b + 8)) return false;
    const psh = TCP_PSH << 16;
    if ((view.getInt32(a + 12) & ~psh) !== (view.getInt32(b + 12) & ~psh)) return false;
    if (view.getUint16(a + 18) !== view.getUint16(b + 18)) return false;
    for (let at = 20; at < this.transportLength; at += 4) {
      if (view.getInt32(a + at) !== view.getInt32(b + at)) return false;
    }
    return true;
  }

  /** True when two matching frames are also equally long, by the lengths in their IP and UDP headers. */
  sameLength(view: DataView, a: number, b: number): boolean {
    const at = this.ip + (this.isIpv6 ? 4 : 2);
    if (view.getUint16(a + at) !== view.getUint16(b + at)) return false;
    const udp = this.transport + 4;
    return this.protocol === IPPROTO_TCP || view.getUint16(a + udp) === view.getUint16(b + udp);
  }
}
