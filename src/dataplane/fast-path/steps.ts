/**
 * Steps that the programs of both directions have. R6: the packet. R7: its data. R8: the end of its data. R9: the peer's
 * entry.
 */

import { ETHERNET_LENGTH } from '../wire/ethernet.js';
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
  R5,
  R6,
  R7,
  R8,
  R9,
  type Register,
} from './assembler.js';
import { field, HELPER } from './helpers.js';
import { COUNT, ENTRY, KEY_SIZE } from './tables.js';

/** Offsets in the stack of what the steps store. A program uses what is below `END`. */
const KEY = -KEY_SIZE;
const FRAME_HEADER = -24;
const NUMBER = -28;
const SEGMENTS = -32;
/** Room for addresses and ports (superpackets.ts), aligned to 8 bytes. */
export const TUPLE = -48;
export const END = TUPLE;

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
const TYPICAL_HEADERS = ETHERNET_LENGTH + 20 + 32;

/**
 * Stores the number of segments for `countPacket`; changing the room resets the kernel's. Superpackets of other programs,
 * such as a virtual machine monitor, have no such number: the program calculates it, which may miss by one. `overhead`: as
 * for `countPacket`.
 */
export function saveSegments(a: Assembler, overhead: number): void {
  const known = a.label('segments known');
  a.load(4, R1, field(R6, 'gsoSegments'));
  a.jumpIf(R1, '!=', constant(0), known);
  a.load(4, R2, field(R6, 'gsoSize'));
  a.move(R1, constant(1));
  a.jumpIf(R2, '==', constant(0), known);
  a.load(4, R1, field(R6, 'length'));
  a.alu('sub', R1, constant(overhead + TYPICAL_HEADERS + 1));
  a.alu('add', R1, R2);
  a.alu('div', R1, R2);
  // Segments of a few bytes are shorter than these headers may differ.
  a.jumpIf(R1, '<=', constant(0xffff), known);
  a.move(R1, constant(1));
  a.place(known);
  a.store(4, at(FP, SEGMENTS), R1);
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
  a.load(8, R3, at(R0, bytes));
  a.alu('add', R2, R3);
  a.store(8, at(R0, bytes), R2);
}

const COUNTS = {
  tx: { packets: COUNT.txPackets, bytes: COUNT.txBytes },
  rx: { packets: COUNT.rxPackets, bytes: COUNT.rxBytes },
} as const;
