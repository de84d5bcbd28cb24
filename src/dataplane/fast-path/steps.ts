/**
 * Steps that the programs of both directions have. R6: the packet. R7: its data. R8: the end of its data. R9: the peer's
 * entry.
 */

import { ETHERNET_LENGTH, ETHERTYPE_IPV6 } from '../wire/ethernet.js';
import { IPV4_MIN_LENGTH } from '../wire/ipv4.js';
import { IPV6_LENGTH } from '../wire/ipv6.js';
import { IPPROTO_TCP } from '../wire/tcp.js';
import { IPPROTO_UDP, UDP_LENGTH } from '../wire/udp.js';
import {
  type Assembler,
  at,
  constant,
  FP,
  type Label,
  type Operand,
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
  type Register,
} from './assembler.js';
import { field, HELPER } from './helpers.js';
import { ETHERNET, IPV4, IPV6, network16 } from './layout.js';
import { COUNT, ENTRY, KEY_SIZE } from './tables.js';

/** Offsets in the stack of what the steps store. A program uses what is below `END`. */
const KEY = -KEY_SIZE;
const FRAME_HEADER = -24;
const NUMBER = -28;
const SEGMENTS = -32;
/** Room for addresses and ports (superpackets.ts), aligned to 8 bytes. */
export const TUPLE = -48;
const MORE_BYTES = -56;
export const END = MORE_BYTES;

/** Loads both ends of the packet's data, which a helper may have moved. */
export function loadData(a: Assembler): void {
  a.load(4, R8, field(R6, 'dataEnd'));
  a.load(4, R7, field(R6, 'data'));
}

/** Continues at `otherwise` unless so many bytes of the packet are readable. */
export function demandBytes(a: Assembler, bytes: number, otherwise: Label): void {
  a.move(R0, R7);
  a.alu('add', R0, constant(bytes));
  a.jumpIf(R0, '>', R8, otherwise);
}

/** Leaves the entry of a number in a map in R0. */
export function lookUpNumber(a: Assembler, map: number, otherwise: Label): void {
  a.moveMap(R1, map);
  a.move(R2, FP);
  a.alu('add', R2, constant(NUMBER));
  a.call(HELPER.mapLookUp);
  a.jumpIf(R0, '==', constant(0), otherwise);
}

/** Sets the number for `lookUpNumber`. */
export function setNumber(a: Assembler, value: Operand): void {
  a.store(4, at(FP, NUMBER), value);
}

/** Leaves the entry of the MAC at this offset of the packet in R9. */
export function lookUpPeer(a: Assembler, forwarding: number, mac: number, otherwise: Label): void {
  a.load(4, R0, at(R7, mac));
  a.store(4, at(FP, KEY), R0);
  a.load(2, R0, at(R7, mac + 4));
  // Also the two bytes behind the MAC.
  a.store(4, at(FP, KEY + 4), R0);
  a.moveMap(R1, forwarding);
  a.move(R2, FP);
  a.alu('add', R2, constant(KEY));
  a.call(HELPER.mapLookUp);
  a.jumpIf(R0, '==', constant(0), otherwise);
  a.move(R9, R0);
}

/** Stores the Ethernet header at this offset of the packet. */
export function saveFrameHeader(a: Assembler, offset: number): void {
  copyFrameHeader(a, R7, offset, FP, FRAME_HEADER);
}

/** Writes the stored Ethernet header to this offset of the packet. */
export function writeFrameHeader(a: Assembler, offset: number): void {
  copyFrameHeader(a, FP, FRAME_HEADER, R7, offset);
}

function copyFrameHeader(
  a: Assembler,
  from: Register,
  fromOffset: number,
  to: Register,
  toOffset: number,
): void {
  for (const [size, offset] of [
    [8, 0],
    [4, 8],
    [2, 12],
  ] as const) {
    a.load(size, R0, at(from, fromOffset + offset));
    a.store(size, at(to, toOffset + offset), R0);
  }
}

/** Headers of a TCP segment over IPv4 with timestamps, as all systems send them. */
const TYPICAL_HEADERS = ETHERNET_LENGTH + IPV4_MIN_LENGTH + 32;
/** Bytes of a TCP header up to its length, in words, in the upper half of the last byte. */
const TCP_UP_TO_LENGTH = 13;

/**
 * Stores the number of segments for `countPacket`, and the bytes of the headers that the superpacket has once and its
 * segments have each; changing the room resets the kernel's number. Superpackets of other programs, such as a virtual
 * machine monitor, have no such number: the program calculates it. `inner`: offset of the inner frame.
 */
export function saveSegments(a: Assembler, inner: number): void {
  const known = a.label('segments known');
  const store = a.label('store the segments');
  a.move(R1, constant(1));
  a.move(R4, constant(0));
  a.load(4, R0, field(R6, 'gsoSize'));
  a.jumpIf(R0, '==', constant(0), store);
  loadHeadersLength(a, inner);
  a.load(4, R1, field(R6, 'gsoSegments'));
  a.jumpIf(R1, '!=', constant(0), known);
  a.load(4, R2, field(R6, 'gsoSize'));
  a.load(4, R1, field(R6, 'length'));
  a.alu('sub', R1, constant(inner + 1));
  a.alu('sub', R1, R4);
  a.alu('add', R1, R2);
  a.alu('div', R1, R2);
  // Headers of a length that is not known may be longer than the packet.
  a.jumpIf(R1, '<=', constant(0xffff), known);
  a.move(R1, constant(1));
  a.place(known);
  a.move(R0, R1);
  a.alu('sub', R0, constant(1));
  a.alu('mul', R4, R0);
  a.place(store);
  a.store(4, at(FP, SEGMENTS), R1);
  a.store(8, at(FP, MORE_BYTES), R4);
}

/** Leaves the bytes of all headers of the inner superpacket in R4. The programs let no IPv4 options pass. */
function loadHeadersLength(a: Assembler, inner: number): void {
  const ipv6 = a.label('superpacket over IPv6');
  const found = a.label('headers found');
  a.move(R4, constant(TYPICAL_HEADERS));
  a.load(4, R2, field(R6, 'data'));
  a.load(4, R3, field(R6, 'dataEnd'));
  const demand = (bytes: number): void => {
    a.move(R0, R2);
    a.alu('add', R0, constant(bytes));
    a.jumpIf(R0, '>', R3, found);
  };
  const addTransport = (protocol: number, transport: number): void => {
    const tcp = a.label(`TCP at ${transport}`);
    demand(transport);
    a.load(1, R0, at(R2, protocol));
    a.jumpIf(R0, '==', constant(IPPROTO_TCP), tcp);
    a.jumpIf(R0, '!=', constant(IPPROTO_UDP), found);
    a.move(R4, constant(transport - inner + UDP_LENGTH));
    a.jump(found);
    a.place(tcp);
    demand(transport + TCP_UP_TO_LENGTH);
    a.load(1, R4, at(R2, transport + TCP_UP_TO_LENGTH - 1));
    a.alu('rsh', R4, constant(4));
    a.alu('lsh', R4, constant(2));
    a.alu('add', R4, constant(transport - inner));
    a.jump(found);
  };
  const ip = inner + ETHERNET_LENGTH;
  demand(ip);
  a.load(2, R0, at(R2, inner + ETHERNET.type));
  a.jumpIf(R0, '==', constant(network16(ETHERTYPE_IPV6)), ipv6);
  addTransport(ip + IPV4.protocol, ip + IPV4_MIN_LENGTH);
  a.place(ipv6);
  addTransport(ip + IPV6.nextHeader, ip + IPV6_LENGTH);
  a.place(found);
}

/**
 * Adds the packet to the counts of the peer. `overhead`: bytes that are not of the inner frame. Leaves the packets before it
 * in R5.
 */
export function countPacket(
  a: Assembler,
  counts: number,
  direction: 'tx' | 'rx',
  overhead: number,
  otherwise: Label,
): void {
  const { packets, bytes } = COUNTS[direction];
  a.load(4, R0, at(R9, ENTRY.peer));
  setNumber(a, R0);
  lookUpNumber(a, counts, otherwise);
  a.load(4, R1, at(FP, SEGMENTS));
  a.load(8, R5, at(R0, packets));
  a.alu('add', R1, R5);
  a.store(8, at(R0, packets), R1);
  a.load(4, R2, field(R6, 'length'));
  a.alu('sub', R2, constant(overhead));
  a.load(8, R3, at(FP, MORE_BYTES));
  a.alu('add', R2, R3);
  a.load(8, R3, at(R0, bytes));
  a.alu('add', R2, R3);
  a.store(8, at(R0, bytes), R2);
}

const COUNTS = {
  tx: { packets: COUNT.txPackets, bytes: COUNT.txBytes },
  rx: { packets: COUNT.rxPackets, bytes: COUNT.rxBytes },
} as const;
