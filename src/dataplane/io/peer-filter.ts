/**
 * Generates the classic BPF program (linux/filter.h) that drops datagrams of unknown senders at a receiving socket. It
 * never drops one that the tunnel would accept.
 *
 * With UDP_GRO one message may hold many datagrams. All of them have one outer source address, but each has a VXLAN
 * header of its own, and the program sees the first one only. So a program for such a socket looks at the address alone.
 *
 * The addresses become sorted ranges, which a binary search finds. With more ranges than MAX_RANGES the smallest gaps
 * between them are closed. An IPv6 address is reduced to 32 bits first; the last word is added, so that the addresses of
 * one subnet stay neighbours. In both cases some unknown senders pass, and the tunnel refuses them.
 */

import { isIpv6Address, type UnderlayAddress } from '../../sys/sockaddr.js';
import { encodeFilter, type Instruction, JUMP_EQUAL, JUMP_IF_SET, RETURN } from './socket-filter.js';

export interface PeerFilterOptions {
  ipv6: boolean;
  /** The senders that pass; undefined for all. */
  addresses?: readonly UnderlayAddress[];
  /** The VXLAN network of the datagrams that pass; undefined for all. Not for a socket with UDP_GRO. */
  vni?: number;
}

// linux/filter.h, linux/bpf_common.h; SKF_AD_RANDOM since 3.16.
const LOAD = 0x20; // BPF_LD | BPF_W | BPF_ABS
const MULTIPLY = 0x24; // BPF_ALU | BPF_MUL | BPF_K
const AND = 0x54; // BPF_ALU | BPF_AND | BPF_K
const SHIFT_RIGHT = 0x74; // BPF_ALU | BPF_RSH | BPF_K
const XOR_X = 0xac; // BPF_ALU | BPF_XOR | BPF_X
const ADD_X = 0x0c; // BPF_ALU | BPF_ADD | BPF_X
const TO_X = 0x07; // BPF_MISC | BPF_TAX
const JUMP = 0x05; // BPF_JMP | BPF_JA
const JUMP_NOT_LESS = 0x35; // BPF_JMP | BPF_JGE | BPF_K
const SKF_AD_RANDOM = 0xfffff000 + 56;
const SKF_NET_OFF = 0xfff00000;

/** Return values: the bytes to keep. */
const PASS = 0xffffffff;
const DROP = 0;

/** One of so many datagrams of unknown senders passes, so that the tunnel's counters show who sends. */
const SAMPLE = 256;
/**
 * Two programs of this size, the old and the new, fit into the 20 KiB that a socket may charge (net.core.optmem_max before
 * 6.7). A range takes four instructions of 8 bytes.
 */
const MAX_RANGES = 256;
const MAX_SHORT_JUMP = 255;
/** Offsets in what the program sees: a datagram from its UDP header on. */
const VXLAN_FLAGS = 8;
const VXLAN_VNI = 12;
const VNI_FLAG = 0x08000000;
/** Offsets of the source address in the outer IP header. */
const IPV4_SOURCE = 12;
const IPV6_SOURCE = 8;
/** An odd number that spreads the first words of an IPv6 address. */
const SPREAD = 0x9e3779b1;

const operation = (code: number, k = 0): Instruction => [code, 0, 0, k];
const result = (value: number): Instruction => [RETURN, 0, 0, value];

/** Returns the program as an array of struct sock_filter. */
export function peerFilter(options: PeerFilterOptions): Uint8Array {
  const program = [...sample(), ...network(options.vni), ...senders(options)];
  return encodeFilter(program);
}

function sample(): Instruction[] {
  return [operation(LOAD, SKF_AD_RANDOM), operation(AND, SAMPLE - 1), [JUMP_EQUAL, 0, 1, 0], result(PASS)];
}

function network(vni: number | undefined): Instruction[] {
  if (vni === undefined) return [];
  return [
    operation(LOAD, VXLAN_FLAGS),
    [JUMP_IF_SET, 1, 0, VNI_FLAG],
    result(DROP),
    operation(LOAD, VXLAN_VNI),
    operation(SHIFT_RIGHT, 8),
    [JUMP_EQUAL, 1, 0, vni],
    result(DROP),
  ];
}

function senders({ ipv6, addresses }: PeerFilterOptions): Instruction[] {
  if (addresses === undefined) return [result(PASS)];
  const bounds = rangesOf(addresses.map(keyOf)).flatMap(([from, to]) => [from, to + 1]);
  const search = searchTree(bounds.filter((bound) => bound <= 0xffffffff));
  return [...loadKey(ipv6), ...search];
}

/** Returns what the program compares: an unsigned number of 32 bits. */
function keyOf(address: UnderlayAddress): number {
  if (!isIpv6Address(address)) return address >>> 0;
  const [first, second, third, last] = address;
  const prefix = Math.imul(Math.imul(Math.imul(first, SPREAD) ^ second, SPREAD) ^ third, SPREAD);
  return (prefix + last) >>> 0;
}

/** Leaves the key of the sender in the accumulator. */
function loadKey(ipv6: boolean): Instruction[] {
  if (!ipv6) return [operation(LOAD, SKF_NET_OFF + IPV4_SOURCE)];
  const word = (index: number) => operation(LOAD, SKF_NET_OFF + IPV6_SOURCE + 4 * index);
  const spread = [operation(MULTIPLY, SPREAD), operation(TO_X)];
  return [
    word(0),
    ...spread,
    word(1),
    operation(XOR_X),
    ...spread,
    word(2),
    operation(XOR_X),
    ...spread,
    word(3),
    operation(ADD_X),
  ];
}

/** Returns sorted ranges that contain every key: as few as there are, and at most MAX_RANGES. */
function rangesOf(keys: readonly number[]): [from: number, to: number][] {
  const sorted = Uint32Array.from(new Set(keys)).sort();
  const gaps = Array.from({ length: Math.max(0, sorted.length - 1) }, (_, i) => sorted[i + 1] - sorted[i]);
  const largest = gaps.filter((gap) => gap > 1).sort((a, b) => b - a);
  // A gap of this size or smaller is closed.
  const closed = Math.max(1, largest[MAX_RANGES - 1] ?? 1);
  const ranges: [number, number][] = [];
  sorted.forEach((key, index) => {
    const last = ranges.at(-1);
    if (last !== undefined && key - sorted[index - 1] <= closed) last[1] = key;
    else ranges.push([key, key]);
  });
  return ranges;
}

/**
 * Returns a binary search of the accumulator in sorted bounds. It passes when an odd number of bounds is not greater: each
 * range is its first key and the key behind its last one.
 */
function searchTree(bounds: readonly number[], from = 0, to = bounds.length): Instruction[] {
  if (from === to) return [result(from % 2 === 1 ? PASS : DROP)];
  const middle = (from + to) >>> 1;
  const below = searchTree(bounds, from, middle);
  const above = searchTree(bounds, middle + 1, to);
  if (below.length <= MAX_SHORT_JUMP)
    return [[JUMP_NOT_LESS, below.length, 0, bounds[middle]], ...below, ...above];
  return [[JUMP_NOT_LESS, 0, 1, bounds[middle]], operation(JUMP, below.length), ...below, ...above];
}
