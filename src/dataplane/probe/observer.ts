/**
 * What peers send through the tunnel, as it arrives on the underlay: the outer source address and the inner source MAC of
 * ARP and ICMP. The dataplane drops such a packet if they do not belong to one lease. So the observer sees whose lease is
 * wrong. It gets a copy of the packets before any firewall of this node, except what the fast path has taken.
 *
 * It also asks for a MAC: an ARP request to the broadcast MAC reaches a peer whose own MAC is not that of its lease.
 */

import {
  AF_PACKET,
  ETH_P_IP,
  MSG_DONTWAIT,
  SOCK_CLOEXEC,
  SOCK_DGRAM,
  SOCKADDR_LL_SIZE,
} from '../../sys/constants.js';
import { bind, close, recvfrom, socket } from '../../sys/ffi.js';
import { SystemError } from '../../sys/system-error.js';
import { encodeFilter, JUMP_EQUAL, JUMP_IF_SET, RETURN } from '../io/socket-filter.js';
import { attachFilter } from '../io/udp-socket.js';
import { ETHERNET_LENGTH, ETHERTYPE_ARP, ETHERTYPE_IPV4, formatMac } from '../wire/ethernet.js';
import { IPPROTO_ICMP } from '../wire/icmp.js';
import { ipv4HeaderLength, ipv4Source } from '../wire/ipv4.js';
import { IPPROTO_UDP, UDP_LENGTH } from '../wire/udp.js';
import { hasVni, VXLAN_LENGTH, vniOf, writeVxlan } from '../wire/vxlan.js';

const ARP_LENGTH = 28;
const ARP_REQUEST = 1;
const ARP_REPLY = 2;

// linux/bpf_common.h, linux/filter.h
const LOAD_BYTE = 0x30; // BPF_LD | BPF_B | BPF_ABS
const LOAD_HALF = 0x28; // BPF_LD | BPF_H | BPF_ABS
const LOAD_HEADER_LENGTH = 0xb1; // BPF_LDX | BPF_B | BPF_MSH
const LOAD_HALF_AT_X = 0x48; // BPF_LD | BPF_H | BPF_IND
const LOAD_BYTE_AT_X = 0x50; // BPF_LD | BPF_B | BPF_IND

/** Bytes from the UDP header to the inner Ethernet type, and to the protocol of an inner IPv4 packet. */
const TO_TYPE = UDP_LENGTH + VXLAN_LENGTH + 12;
const TO_PROTOCOL = UDP_LENGTH + VXLAN_LENGTH + ETHERNET_LENGTH + 9;
/** Longer than the headers that are read. */
const KEPT = 128;

/** Returns the program that keeps VXLAN datagrams with ARP or ICMP in them. */
function filterProgram(port: number): Uint8Array {
  return encodeFilter([
    [LOAD_BYTE, 0, 0, 9],
    [JUMP_EQUAL, 0, 11, IPPROTO_UDP],
    [LOAD_HALF, 0, 0, 6],
    [JUMP_IF_SET, 9, 0, 0x1fff],
    [LOAD_HEADER_LENGTH, 0, 0, 0],
    [LOAD_HALF_AT_X, 0, 0, 2],
    [JUMP_EQUAL, 0, 6, port],
    [LOAD_HALF_AT_X, 0, 0, TO_TYPE],
    [JUMP_EQUAL, 3, 0, ETHERTYPE_ARP],
    [JUMP_EQUAL, 0, 3, ETHERTYPE_IPV4],
    [LOAD_BYTE_AT_X, 0, 0, TO_PROTOCOL],
    [JUMP_EQUAL, 0, 1, IPPROTO_ICMP],
    [RETURN, 0, 0, KEPT],
    [RETURN, 0, 0, 0],
  ]);
}

/** A packet of a peer on the underlay. Addresses are in host order, signed. */
export interface Sighting {
  outerSource: number;
  /** `02:00:00:00:00:01` */
  innerMac: string;
  /** The sender of the ARP message or of the ICMP packet: the address of the peer's overlay device. */
  innerSource: number;
  arpReply: boolean;
}

export class Observer {
  readonly fd: number;
  private readonly bytes = new Uint8Array(KEPT);
  private readonly view = new DataView(this.bytes.buffer);
  private readonly address = new Uint8Array(SOCKADDR_LL_SIZE);
  private readonly vni: number;

  /** @throws SystemError without CAP_NET_RAW */
  constructor(port: number, vni: number) {
    this.vni = vni;
    // Protocol 0: nothing arrives before the filter is there.
    this.fd = socket(AF_PACKET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (this.fd < 0) throw new SystemError('socket', this.fd);
    const name = new DataView(new ArrayBuffer(SOCKADDR_LL_SIZE));
    name.setUint16(0, AF_PACKET, true);
    name.setUint16(2, ETH_P_IP);
    if (attachFilter(this.fd, filterProgram(port)) && bind(this.fd, new Uint8Array(name.buffer)) >= 0) return;
    close(this.fd);
    throw new SystemError('bind AF_PACKET', -1);
  }

  /** Returns the next packet; undefined if none waits. */
  next(): Sighting | undefined {
    for (;;) {
      const size = new Uint8Array(new Uint32Array([SOCKADDR_LL_SIZE]).buffer);
      const length = recvfrom(this.fd, this.bytes, MSG_DONTWAIT, this.address, size);
      if (length < 0) return undefined;
      const sighting = this.parse(length);
      if (sighting !== undefined) return sighting;
    }
  }

  close(): void {
    close(this.fd);
  }

  private parse(length: number): Sighting | undefined {
    const { view, vni } = this;
    const vxlan = ipv4HeaderLength(view, 0) + UDP_LENGTH;
    const ethernet = vxlan + VXLAN_LENGTH;
    const payload = ethernet + ETHERNET_LENGTH;
    if (length < payload + 20 || !hasVni(view, vxlan) || vniOf(view, vxlan) !== vni) return undefined;
    const arp = view.getUint16(ethernet + 12) === ETHERTYPE_ARP;
    return {
      outerSource: ipv4Source(view, 0) | 0,
      innerMac: formatMac(this.bytes, ethernet + 6),
      innerSource: arp ? view.getInt32(payload + 14) : ipv4Source(view, payload) | 0,
      arpReply: arp && view.getUint16(payload + 6) === ARP_REPLY,
    };
  }
}

/** Returns a VXLAN datagram with an ARP request of this node: which MAC has `target`? */
export function arpRequest(vni: number, ownMac: string, own: number, target: number): Uint8Array {
  const bytes = new Uint8Array(VXLAN_LENGTH + ETHERNET_LENGTH + ARP_LENGTH);
  const view = new DataView(bytes.buffer);
  const mac = Uint8Array.from(ownMac.split(':'), (part) => Number.parseInt(part, 16));
  const arp = VXLAN_LENGTH + ETHERNET_LENGTH;
  writeVxlan(view, 0, vni);
  bytes.fill(0xff, VXLAN_LENGTH, VXLAN_LENGTH + 6);
  bytes.set(mac, VXLAN_LENGTH + 6);
  view.setUint16(VXLAN_LENGTH + 12, ETHERTYPE_ARP);
  // RFC 826: Ethernet and IPv4, with their lengths.
  view.setUint16(arp, 1);
  view.setUint16(arp + 2, ETHERTYPE_IPV4);
  view.setUint16(arp + 4, 0x0604);
  view.setUint16(arp + 6, ARP_REQUEST);
  bytes.set(mac, arp + 8);
  view.setInt32(arp + 14, own);
  view.setInt32(arp + 24, target);
  return bytes;
}
