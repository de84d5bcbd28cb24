/**
 * Reads the kernel's structures (64-bit ABI, little-endian) from an arena, with offsets independent of src:
 *
 *     mmsghdr 64 B: name @0, namelen u32 @8, iov @16, iovlen @24, control @32, controllen @40, flags @48, msg_len @56
 *     iovec 16 B: base @0, len @8
 *     cmsghdr: len u64 @0, level i32 @8, type i32 @12, data @16; the next starts at a multiple of 8
 */

import type { Arena } from '../../src/dataplane/memory/arena.js';

export interface Control {
  level: number;
  type: number;
  data: Uint8Array;
}

/** Returns the arena offset that the pointer at `at` points to. */
export function follow(arena: Arena, at: number): number {
  return Number(arena.view.getBigUint64(at, true) - BigInt(arena.base));
}

/** Returns the bytes that a message sends: its iovecs concatenated. */
export function gathered(arena: Arena, message: number): Uint8Array {
  const count = Number(arena.view.getBigUint64(message + 24, true));
  return vector(arena, follow(arena, message + 16), count);
}

export function vector(arena: Arena, iovecs: number, count: number): Uint8Array {
  const parts = Array.from({ length: count }, (_, index) => {
    const start = follow(arena, iovecs + index * 16);
    return arena.bytes.slice(start, start + Number(arena.view.getBigUint64(iovecs + index * 16 + 8, true)));
  });
  return new Uint8Array(Buffer.concat(parts));
}

/** Returns the control messages of a message. */
export function controls(arena: Arena, message: number): Control[] {
  const { view, bytes } = arena;
  const start = follow(arena, message + 32);
  const end = start + Number(view.getBigUint64(message + 40, true));
  const found: Control[] = [];
  for (let at = start; at + 16 <= end; ) {
    const length = Number(view.getBigUint64(at, true));
    found.push({
      level: view.getInt32(at + 8, true),
      type: view.getInt32(at + 12, true),
      data: bytes.slice(at + 16, at + length),
    });
    at += Math.ceil(length / 8) * 8;
  }
  return found;
}

/** Returns UDP_SEGMENT of a message; 0 without it. */
export function segmentSize(arena: Arena, message: number): number {
  const found = controls(arena, message).find(({ level, type }) => level === 17 && type === 103);
  return found === undefined ? 0 : found.data[0] | (found.data[1] << 8);
}
