/**
 * The program at the egress hook of the overlay device. It encapsulates the frame of a known peer and sends it to the next
 * hop. Everything else continues to the TAP, where a forwarding thread reads it. Such are other EtherTypes, VLAN tags, IP
 * options, frames that the path does not carry, and unknown MACs.
 *
 * The header is that of `tunnel/vxlan.ts` and of the sockets: TTL 64, no DF, the inner ECN field (RFC 6040). The UDP
 * checksum is zero, as RFC 7348, 4.1 allows over IPv4: the kernel's segmentation supports no other (bpf_skb_adjust_room).
 */

import { ETHERNET_LENGTH, ETHERTYPE_IPV4, ETHERTYPE_IPV6 } from '../wire/ethernet.js';
import { IPV4_MIN_LENGTH } from '../wire/ipv4.js';
import { IPPROTO_UDP } from '../wire/udp.js';
import { VXLAN_VNI_VALID } from '../wire/vxlan.js';
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
  ENCAPSULATE_ETHERNET,
  ENCAPSULATE_IPV4,
  ENCAPSULATE_UDP,
  encapsulateLink,
  FIXED_GSO,
  field,
  HELPER,
  VERDICT,
} from './helpers.js';
import {
  BEFORE_UDP_LENGTH,
  ETHERNET,
  INNER_ETHERNET,
  IPV4,
  IPV4_NO_OPTIONS,
  IPV6,
  network16,
  network32,
  OUTER_IP,
  OUTER_UDP,
  OUTER_VXLAN,
  OVERHEAD,
  UDP,
  VXLAN,
} from './layout.js';
import {
  countPacket,
  demandBytes,
  END,
  loadData,
  lookUpPeer,
  saveFrameHeader,
  saveSegments,
  writeFrameHeader,
} from './steps.js';
import { ENTRY, type Tables } from './tables.js';

/** What the program has as constants. Addresses are IPv4 in host order, signed. */
export interface EncapsulateConfig {
  vni: number;
  port: number;
  /** The source address of the datagrams. */
  address: number;
}

const TTL = 64;
/** The source ports of the kernel's vxlan device: net.ipv4.ip_local_port_range by default. */
const FIRST_PORT = 32768;
const PORTS = 28232;

/** Offset in the stack. */
const ECN = at(FP, END - 8);

/** R6: the packet. R7: its data, later the lengths. R8: the end of its data, later the source port. R9: the entry. */
export function encapsulateProgram(
  { vni, port, address }: EncapsulateConfig,
  { forwarding, counts }: Pick<Tables, 'forwarding' | 'counts'>,
): Uint8Array {
  const a = new Assembler();
  const pass = a.label('pass');
  const drop = a.label('drop');
  a.move(R6, R1);
  a.load(4, R0, field(R6, 'vlanPresent'));
  a.jumpIf(R0, '!=', constant(0), pass);
  loadData(a);
  demandBytes(a, ETHERNET_LENGTH + IPV4_MIN_LENGTH, pass);
  loadInnerEcn(a, pass);
  a.store(8, ECN, R5);
  lookUpPeer(a, forwarding, ETHERNET.destination, pass);
  demandPath(a, pass);
  saveFrameHeader(a, 0);
  chooseSourcePort(a);
  saveSegments(a, 0);

  a.move(R1, R6);
  a.move(R2, constant(OVERHEAD));
  a.move(R3, constant(ADJUST_ROOM_MAC));
  const flags = FIXED_GSO | ENCAPSULATE_IPV4 | ENCAPSULATE_UDP | ENCAPSULATE_ETHERNET;
  a.move64(R4, flags | encapsulateLink(ETHERNET_LENGTH));
  a.call(HELPER.adjustRoom);
  // It refuses a packet that already is in a tunnel, and leaves it unchanged.
  a.jumpIf(R0, '!=', constant(0), pass);

  countPacket(a, counts, 'tx', OVERHEAD, drop);
  // R5 has the number of packets so far: the identification of this one.
  a.load(4, R4, field(R6, 'length'));
  a.load(4, R1, field(R6, 'dataEnd'));
  a.load(4, R7, field(R6, 'data'));
  a.move(R2, R7);
  a.alu('add', R2, constant(OVERHEAD + ETHERNET_LENGTH));
  a.jumpIf(R2, '>', R1, drop);
  writeIpv4(a, address);
  writeUdpAndVxlan(a, port, vni);
  writeFrameHeader(a, INNER_ETHERNET);
  redirect(a);

  a.place(pass);
  a.move(R0, constant(VERDICT.next));
  a.exit();
  a.place(drop);
  a.move(R0, constant(VERDICT.drop));
  a.exit();
  return a.assemble();
}

/** Leaves the ECN field of the inner IP header in R5. */
function loadInnerEcn(a: Assembler, otherwise: Label): void {
  const ipv6 = a.label('IPv6');
  const found = a.label('ECN found');
  a.load(2, R0, at(R7, ETHERNET.type));
  a.jumpIf(R0, '==', constant(network16(ETHERTYPE_IPV6)), ipv6);
  a.jumpIf(R0, '!=', constant(network16(ETHERTYPE_IPV4)), otherwise);
  a.load(1, R0, at(R7, ETHERNET_LENGTH + IPV4.version));
  a.jumpIf(R0, '!=', constant(IPV4_NO_OPTIONS), otherwise);
  a.load(1, R5, at(R7, ETHERNET_LENGTH + IPV4.tos));
  a.jump(found);
  a.place(ipv6);
  a.load(1, R0, at(R7, ETHERNET_LENGTH + IPV6.version));
  a.alu('rsh', R0, constant(4));
  a.jumpIf(R0, '!=', constant(6), otherwise);
  a.load(1, R5, at(R7, ETHERNET_LENGTH + IPV6.trafficClass));
  a.alu('rsh', R5, constant(4));
  a.place(found);
  a.alu('and', R5, constant(3));
}

/** A socket would fragment what the path does not carry, and so decides about it. */
function demandPath(a: Assembler, otherwise: Label): void {
  const single = a.label('single');
  a.load(4, R1, field(R6, 'length'));
  a.load(4, R2, at(R9, ENTRY.maxFrame));
  a.load(4, R3, field(R6, 'gsoSize'));
  a.jumpIf(R3, '==', constant(0), single);
  a.load(4, R2, at(R9, ENTRY.maxSuperpacket));
  a.place(single);
  a.jumpIf(R1, '>', R2, otherwise);
}

/** Leaves a port of the flow in R8, in network order: receivers spread flows by it (RFC 7348, 5). */
function chooseSourcePort(a: Assembler): void {
  a.move(R1, R6);
  a.call(HELPER.hash);
  a.move(R8, R0);
  a.alu('mul', R8, constant(PORTS));
  a.alu('rsh', R8, constant(32));
  a.alu('add', R8, constant(FIRST_PORT));
  a.swap(2, R8);
}

/** R4: the length of the frame. R5: the identification. Leaves the length of the IPv4 packet in R4. */
function writeIpv4(a: Assembler, address: number): void {
  const ip = (offset: number) => at(R7, OUTER_IP + offset);
  a.alu('sub', R4, constant(ETHERNET_LENGTH));
  // The sum of the header's words (RFC 1071): its byte order does not matter.
  const fixed = sumWords(
    network16(IPV4_NO_OPTIONS << 8),
    network16((TTL << 8) | IPPROTO_UDP),
    network32(address),
  );
  a.move(R3, constant(fixed));
  a.load(8, R0, ECN);
  a.store(1, ip(IPV4.version), constant(IPV4_NO_OPTIONS));
  a.store(1, ip(IPV4.tos), R0);
  // The second byte of a word in network order.
  a.alu('lsh', R0, constant(8));
  a.alu('add', R3, R0);
  a.move(R0, R4);
  a.swap(2, R0);
  a.store(2, ip(IPV4.totalLength), R0);
  a.alu('add', R3, R0);
  a.alu('and', R5, constant(0xffff));
  a.store(2, ip(IPV4.id), R5);
  a.alu('add', R3, R5);
  a.store(2, ip(IPV4.fragment), constant(0));
  a.store(1, ip(IPV4.ttl), constant(TTL));
  a.store(1, ip(IPV4.protocol), constant(IPPROTO_UDP));
  a.store(4, ip(IPV4.source), constant(network32(address)));
  a.load(4, R0, at(R9, ENTRY.vtep));
  a.store(4, ip(IPV4.destination), R0);
  a.move(R1, R0);
  a.alu('rsh', R1, constant(16));
  a.alu('add', R3, R1);
  a.alu('and', R0, constant(0xffff));
  a.alu('add', R3, R0);
  for (let fold = 0; fold < 2; fold++) {
    a.move(R0, R3);
    a.alu('rsh', R0, constant(16));
    a.alu('and', R3, constant(0xffff));
    a.alu('add', R3, R0);
  }
  a.alu('xor', R3, constant(0xffff));
  a.store(2, ip(IPV4.checksum), R3);
}

/** Returns the sum of two words of 16 bits and the halves of one of 32 bits. */
function sumWords(first: number, second: number, double: number): number {
  return first + second + (double & 0xffff) + (double >>> 16);
}

/** R4: the length of the IPv4 packet. R8: the source port in network order. */
function writeUdpAndVxlan(a: Assembler, port: number, vni: number): void {
  a.store(2, at(R7, OUTER_UDP + UDP.source), R8);
  a.store(2, at(R7, OUTER_UDP + UDP.destination), constant(network16(port)));
  a.alu('sub', R4, constant(BEFORE_UDP_LENGTH - ETHERNET_LENGTH));
  a.swap(2, R4);
  a.store(2, at(R7, OUTER_UDP + UDP.length), R4);
  a.store(2, at(R7, OUTER_UDP + UDP.checksum), constant(0));
  a.store(4, at(R7, OUTER_VXLAN + VXLAN.flags), constant(network32(VXLAN_VNI_VALID)));
  a.store(4, at(R7, OUTER_VXLAN + VXLAN.vni), constant(network32(vni << 8)));
}

/**
 * The kernel finds the route and the next hop, and writes the outer Ethernet header. A next hop of our own would save the
 * route, but lose each packet that waits for the MAC of that hop. Such a packet still has its inner route, and the kernel
 * sends it there when the MAC arrives (net/core/neighbour.c, neigh_update).
 */
function redirect(a: Assembler): void {
  a.load(4, R1, at(R9, ENTRY.ifindex));
  a.move(R2, constant(0));
  a.move(R3, constant(0));
  a.move(R4, constant(0));
  a.call(HELPER.redirectToNeighbour);
  a.exit();
}
