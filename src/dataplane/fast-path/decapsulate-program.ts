/**
 * The program at the ingress hook of the underlay interface. It removes the outer headers of a datagram about which there
 * is nothing to decide, and passes the frame on to the overlay device. Everything else continues to the UDP socket, and a
 * forwarding thread accepts, drops and counts it (tunnel/vxlan.ts).
 *
 * It accepts less than `peerCheck: 'strict'` does: the outer source must be the address of the lease whose MAC the frame
 * has. The outer header must be whole, unfragmented and without options, and its ECN field that of the inner header. The
 * VXLAN header must have nothing but our VNI.
 *
 * Frames go to the overlay device; TCP segments go to the joiner first, whose other end joins them (GRO). Superpackets may
 * take the threads (superpackets.ts).
 *
 * The kernel does not check the outer UDP checksum here. So a datagram that has one passes only if the inner packet has a
 * checksum of its own.
 */

import { ETHERNET_LENGTH, ETHERTYPE_IPV4, ETHERTYPE_IPV6 } from '../wire/ethernet.js';
import { IPPROTO_ICMP, IPPROTO_ICMPV6 } from '../wire/icmp.js';
import { IPV4_MIN_LENGTH } from '../wire/ipv4.js';
import { IPV6_LENGTH } from '../wire/ipv6.js';
import { IPPROTO_TCP } from '../wire/tcp.js';
import { IPPROTO_UDP, UDP_LENGTH } from '../wire/udp.js';
import { VXLAN_LENGTH, VXLAN_VNI_VALID } from '../wire/vxlan.js';
import {
  Assembler,
  at,
  constant,
  FP,
  type Label,
  R0,
  R1,
  R2,
  R3,
  R4,
  R5,
  R6,
  R7,
  R8,
  R9,
} from './assembler.js';
import {
  ADJUST_ROOM_MAC,
  FIXED_GSO,
  field,
  HELPER,
  PACKET_HOST,
  REDIRECT_INGRESS,
  VERDICT,
} from './helpers.js';
import {
  ETHERNET,
  FRAGMENT_MASK,
  INNER_ETHERNET,
  INNER_IP,
  IPV4,
  IPV4_NO_OPTIONS,
  IPV6,
  network16,
  network32,
  OUTER_IP,
  OUTER_UDP,
  OUTER_VXLAN,
  OVERHEAD,
  PARSED_LENGTH,
  UDP,
  VXLAN,
} from './layout.js';
import {
  countPacket,
  demandBytes,
  END,
  loadData,
  lookUpNumber,
  lookUpPeer,
  saveFrameHeader,
  saveSegments,
  setNumber,
  writeFrameHeader,
} from './steps.js';
import { keepOrder, markSuperpacket } from './superpackets.js';
import { DEVICE, ENTRY, type Tables } from './tables.js';

/** What the program has as constants. */
export interface DecapsulateConfig {
  vni: number;
  port: number;
  /** The address of this node, IPv4 in host order, signed. */
  address: number;
  /** The VTEP MAC of this node. */
  mac: { high: number; low: number };
}

/** Bytes between the inner packet's length and that of UDP. */
const IPV4_DIFFERENCE = UDP_LENGTH + VXLAN_LENGTH + ETHERNET_LENGTH;
const IPV6_DIFFERENCE = IPV4_DIFFERENCE + IPV6_LENGTH;

/** Offsets in the stack. */
const OVERLAY = at(FP, END - 4);
const PROTOCOL = at(FP, END - 8);

/**
 * `isKept`: whether the kernel keeps TCP superpackets whole behind the tunnel.
 *
 * R6: the packet. R7: its data. R8: the end of its data, later the inner protocol. R9: the peer's entry.
 */
export function decapsulateProgram(
  config: DecapsulateConfig,
  { forwarding, counts, devices }: Pick<Tables, 'forwarding' | 'counts' | 'devices'>,
  isKept: boolean,
): Uint8Array {
  const a = new Assembler();
  const pass = a.label('pass');
  const drop = a.label('drop');
  const direct = a.label('direct');
  const run = a.label('GRO run');
  const mark = a.label('superpacket for the threads');
  a.move(R6, R1);
  demandHeaders(a, pass);
  demandOuter(a, config, pass);
  demandLengths(a, pass);
  demandInner(a, { pass, run });
  demandInnerChecksum(a, pass);
  demandPeer(a, forwarding, pass);
  keepOrder(a, isKept, { pass, mark });
  loadDevice(a, devices, DEVICE.overlay, pass);
  a.store(4, OVERLAY, R0);
  saveFrameHeader(a, INNER_ETHERNET);
  saveSegments(a, OVERHEAD);

  a.move(R1, R6);
  a.move(R2, constant(-OVERHEAD));
  a.move(R3, constant(ADJUST_ROOM_MAC));
  a.move(R4, constant(Number(FIXED_GSO)));
  a.call(HELPER.adjustRoom);
  a.jumpIf(R0, '!=', constant(0), pass);

  a.store(4, PROTOCOL, R8);
  loadData(a);
  demandBytes(a, ETHERNET_LENGTH, drop);
  // The outer one is left, in front of the inner packet.
  writeFrameHeader(a, 0);
  countPacket(a, counts, 'rx', 0, drop);

  // Only TCP is joined. A superpacket would be cut again on its way to the joiner, which has no TSO.
  a.load(4, R0, field(R6, 'gsoSize'));
  a.jumpIf(R0, '!=', constant(0), direct);
  a.load(4, R0, PROTOCOL);
  a.jumpIf(R0, '!=', constant(IPPROTO_TCP), direct);
  loadDevice(a, devices, DEVICE.joiner, direct);
  a.move(R1, R0);
  a.move(R2, constant(0));
  a.call(HELPER.redirect);
  a.exit();
  a.place(direct);
  a.load(4, R1, OVERLAY);
  a.move(R2, constant(REDIRECT_INGRESS));
  a.call(HELPER.redirect);
  a.exit();

  a.place(run);
  a.load(4, R0, field(R6, 'gsoSize'));
  a.jumpIf(R0, '==', constant(0), pass);
  demandPeer(a, forwarding, pass);
  a.place(mark);
  markSuperpacket(a);
  a.place(pass);
  a.move(R0, constant(VERDICT.next));
  a.exit();
  a.place(drop);
  a.move(R0, constant(VERDICT.drop));
  a.exit();
  return a.assemble();
}

/** All headers up to the inner IP header must be readable: a driver may leave them outside the linear part. */
function demandHeaders(a: Assembler, pass: Label): void {
  const ready = a.label('headers ready');
  a.load(4, R0, field(R6, 'protocol'));
  a.jumpIf(R0, '!=', constant(network16(ETHERTYPE_IPV4)), pass);
  a.load(4, R0, field(R6, 'vlanPresent'));
  a.jumpIf(R0, '!=', constant(0), pass);
  a.load(4, R0, field(R6, 'packetType'));
  a.jumpIf(R0, '!=', constant(PACKET_HOST), pass);
  const check = (enough: Label): void => {
    loadData(a);
    a.move(R0, R7);
    a.alu('add', R0, constant(PARSED_LENGTH));
    a.jumpIf(R0, '<=', R8, enough);
  };
  check(ready);
  a.load(4, R0, field(R6, 'length'));
  a.jumpIf(R0, '<', constant(PARSED_LENGTH), pass);
  a.move(R1, R6);
  a.move(R2, constant(PARSED_LENGTH));
  a.call(HELPER.pullData);
  check(ready);
  a.jump(pass);
  a.place(ready);
}

/** Continues for a whole datagram of our VNI to our address, port and MAC. */
function demandOuter(a: Assembler, { vni, port, address, mac }: DecapsulateConfig, pass: Label): void {
  const demand = (size: 1 | 2 | 4, offset: number, value: number): void => {
    a.load(size, R0, at(R7, offset));
    a.jumpIf32(R0, '!=', constant(value), pass);
  };
  demand(1, OUTER_IP + IPV4.protocol, IPPROTO_UDP);
  demand(2, OUTER_UDP + UDP.destination, network16(port));
  demand(1, OUTER_IP + IPV4.version, IPV4_NO_OPTIONS);
  demand(4, OUTER_IP + IPV4.destination, network32(address));
  demand(4, OUTER_VXLAN + VXLAN.flags, network32(VXLAN_VNI_VALID));
  demand(4, OUTER_VXLAN + VXLAN.vni, network32(vni << 8));
  const own = [mac.high >>> 8, mac.high & 0xff, mac.low >>> 24, (mac.low >>> 16) & 0xff];
  const [first = 0, second = 0, third = 0, fourth = 0] = own;
  demand(4, INNER_ETHERNET + ETHERNET.destination, first | (second << 8) | (third << 16) | (fourth << 24));
  demand(2, INNER_ETHERNET + ETHERNET.destination + 4, network16(mac.low & 0xffff));
  a.load(2, R0, at(R7, OUTER_IP + IPV4.fragment));
  a.alu('and', R0, constant(network16(FRAGMENT_MASK)));
  a.jumpIf(R0, '!=', constant(0), pass);
  demandHeaderChecksum(a, pass);
}

/** The sum of all words of a header is 0xffff (RFC 791, RFC 1071). The kernel checks it later (ip_rcv). */
function demandHeaderChecksum(a: Assembler, pass: Label): void {
  a.load(4, R0, at(R7, OUTER_IP));
  for (let offset = 4; offset < IPV4_MIN_LENGTH; offset += 4) {
    a.load(4, R1, at(R7, OUTER_IP + offset));
    a.alu('add', R0, R1);
  }
  const fold = (bits: number): void => {
    a.move(R1, R0);
    a.alu('rsh', R1, constant(bits));
    if (bits === 32) a.alu32('and', R0, constant(-1));
    else a.alu('and', R0, constant(0xffff));
    a.alu('add', R0, R1);
  };
  fold(32);
  fold(16);
  fold(16);
  a.jumpIf(R0, '!=', constant(0xffff), pass);
}

/** The lengths of IPv4 and UDP must be those of the frame. Leaves that of UDP in R5. */
function demandLengths(a: Assembler, pass: Label): void {
  a.load(2, R1, at(R7, OUTER_IP + IPV4.totalLength));
  a.swap(2, R1);
  a.load(4, R0, field(R6, 'length'));
  a.alu('sub', R0, constant(ETHERNET_LENGTH));
  a.jumpIf(R0, '!=', R1, pass);
  a.load(2, R5, at(R7, OUTER_UDP + UDP.length));
  a.swap(2, R5);
  a.alu('sub', R1, constant(IPV4_MIN_LENGTH));
  a.jumpIf(R1, '!=', R5, pass);
}

/**
 * Continues for an IP packet that fills the datagram. A GRO run has several datagrams in one packet; its first inner packet
 * is shorter than the whole, and only a forwarding thread can split it.
 *
 * R5: the length of UDP. Leaves the inner protocol in R4, the offset of its header in R3, and the protocol number that ICMP
 * has in this family in R5.
 */
function demandInner(a: Assembler, { pass, run }: { pass: Label; run: Label }): void {
  const ipv6 = a.label('IPv6');
  const found = a.label('inner header found');
  a.load(1, R2, at(R7, OUTER_IP + IPV4.tos));
  a.load(2, R0, at(R7, INNER_ETHERNET + ETHERNET.type));
  a.jumpIf(R0, '==', constant(network16(ETHERTYPE_IPV6)), ipv6);
  a.jumpIf(R0, '!=', constant(network16(ETHERTYPE_IPV4)), pass);
  a.load(1, R0, at(R7, INNER_IP + IPV4.version));
  a.jumpIf(R0, '!=', constant(IPV4_NO_OPTIONS), pass);
  a.load(2, R0, at(R7, INNER_IP + IPV4.fragment));
  a.alu('and', R0, constant(network16(FRAGMENT_MASK)));
  a.jumpIf(R0, '!=', constant(0), pass);
  demandLength(a, INNER_IP + IPV4.totalLength, IPV4_DIFFERENCE, run);
  a.load(1, R1, at(R7, INNER_IP + IPV4.tos));
  a.load(1, R4, at(R7, INNER_IP + IPV4.protocol));
  a.move(R3, constant(INNER_IP + IPV4_MIN_LENGTH));
  a.move(R5, constant(IPPROTO_ICMP));
  a.jump(found);
  a.place(ipv6);
  a.load(1, R0, at(R7, INNER_IP + IPV6.version));
  a.alu('rsh', R0, constant(4));
  a.jumpIf(R0, '!=', constant(6), pass);
  demandLength(a, INNER_IP + IPV6.payloadLength, IPV6_DIFFERENCE, run);
  a.load(1, R1, at(R7, INNER_IP + IPV6.trafficClass));
  a.alu('rsh', R1, constant(4));
  a.load(1, R4, at(R7, INNER_IP + IPV6.nextHeader));
  a.move(R3, constant(INNER_IP + IPV6_LENGTH));
  a.move(R5, constant(IPPROTO_ICMPV6));
  a.place(found);
  // Equal ECN fields combine to the same (RFC 6040, 4.2).
  a.alu('xor', R1, R2);
  a.alu('and', R1, constant(3));
  a.jumpIf(R1, '!=', constant(0), pass);
}

function demandLength(a: Assembler, offset: number, difference: number, otherwise: Label): void {
  a.load(2, R0, at(R7, offset));
  a.swap(2, R0);
  a.alu('add', R0, constant(difference));
  a.jumpIf(R0, '!=', R5, otherwise);
}

/** R3 to R5: as `demandInner` leaves them. R8: the end of the data, then the inner protocol. */
function demandInnerChecksum(a: Assembler, pass: Label): void {
  const checked = a.label('checksum of its own');
  a.load(2, R0, at(R7, OUTER_UDP + UDP.checksum));
  a.jumpIf(R0, '==', constant(0), checked);
  a.jumpIf(R4, '==', constant(IPPROTO_TCP), checked);
  a.jumpIf(R4, '==', R5, checked);
  a.jumpIf(R4, '!=', constant(IPPROTO_UDP), pass);
  // UDP over IPv4 may have none.
  a.move(R1, R7);
  a.alu('add', R1, R3);
  a.move(R2, R1);
  a.alu('add', R2, constant(UDP_LENGTH));
  a.jumpIf(R2, '>', R8, pass);
  a.load(2, R0, at(R1, UDP.checksum));
  a.jumpIf(R0, '==', constant(0), pass);
  a.place(checked);
  a.move(R8, R4);
}

/** Continues if the outer source has the inner source MAC. Leaves the entry in R9. */
function demandPeer(a: Assembler, forwarding: number, pass: Label): void {
  lookUpPeer(a, forwarding, INNER_ETHERNET + ETHERNET.source, pass);
  a.load(4, R0, at(R9, ENTRY.vtep));
  a.load(4, R1, at(R7, OUTER_IP + IPV4.source));
  a.jumpIf(R0, '!=', R1, pass);
}

/** Leaves the interface of a key in R0. */
function loadDevice(a: Assembler, devices: number, key: number, otherwise: Label): void {
  setNumber(a, constant(key));
  lookUpNumber(a, devices, otherwise);
  a.load(4, R0, at(R0, 0));
}
