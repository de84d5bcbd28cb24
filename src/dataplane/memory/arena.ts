/**
 * One fixed block of memory per worker for everything the kernel and the checksum code access: packets, iovec, msghdr,
 * sockaddr, pollfd.
 *
 * It is a WebAssembly.Memory, so the SIMD checksum reads the bytes in place that system calls wrote. It never grows,
 * because growing would move it and the kernel structures inside hold absolute addresses. Memory is used only for the
 * pages that were touched, so a generous arena costs little.
 */

import { type Address, addressOf } from '../../sys/ffi.js';

const WASM_PAGE = 65536;
const CACHE_LINE = 64;

export class Arena {
  readonly memory: WebAssembly.Memory;
  readonly bytes: Uint8Array;
  readonly words: Int32Array;
  readonly view: DataView;
  /** Absolute address of offset 0; user space ends below 2^53. */
  readonly base: number;
  private readonly baseLow: number;
  private readonly baseHigh: number;
  private used = 0;

  /** `size`: bytes; everything that is reserved later must fit. */
  constructor(size: number) {
    const pages = Math.ceil(size / WASM_PAGE);
    this.memory = new WebAssembly.Memory({ initial: pages, maximum: pages });
    this.bytes = new Uint8Array(this.memory.buffer);
    this.words = new Int32Array(this.memory.buffer);
    this.view = new DataView(this.memory.buffer);
    this.base = Number(addressOf(this.bytes));
    this.baseLow = this.base % 2 ** 32;
    this.baseHigh = Math.floor(this.base / 2 ** 32);
  }

  /** Reserves `size` bytes permanently and returns their offset, aligned to a cache line. Set-up only. */
  reserve(size: number): number {
    const offset = this.used;
    const end = offset + Math.ceil(size / CACHE_LINE) * CACHE_LINE;
    if (end > this.bytes.length) {
      throw new RangeError(`arena of ${this.bytes.length} bytes has no room for ${size} more at ${offset}`);
    }
    this.used = end;
    return offset;
  }

  /** Returns the absolute address of an offset, for system calls. Set-up only: it allocates. */
  address(offset: number): Address {
    return BigInt(this.base + offset);
  }

  /** Writes the absolute address of `offset` as a u64 at `at` (a multiple of 4). */
  writePointer(at: number, offset: number): void {
    // In halves, without a division, because this runs for every piece of every packet.
    const low = this.baseLow + offset;
    this.words[at >> 2] = low | 0;
    this.words[(at >> 2) + 1] = this.baseHigh + (low < 2 ** 32 ? 0 : 1);
  }

  /** Returns the arena offset that `writePointer` wrote at `at`. */
  readPointer(at: number): number {
    return (this.words[at >> 2] - this.baseLow) | 0;
  }

  /** Writes an iovec at `at`: `length` bytes from arena offset `offset`. */
  writeIovec(at: number, offset: number, length: number): void {
    this.writePointer(at, offset);
    this.words[(at + 8) >> 2] = length;
  }
}
