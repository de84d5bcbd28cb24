/**
 * Numbers for the IPv6 addresses of peers. Between the sockets, a peer's address is one 32-bit number; over IPv6 it is
 * the number that this table assigned to the address, from 1 up. 0 stands for no address.
 *
 * Each of the latest unknown source addresses has a negative number, which is never assigned again.
 *
 * The number of a deleted address is assigned again, so the table does not grow while nodes join and leave for years. It
 * is a chained hash table in typed arrays: a lookup allocates nothing. One worker owns it; nothing is locked.
 */

import type { Ipv6Address } from '../../sys/sockaddr.js';

const MIN_CAPACITY = 64;
/** 32-bit words of an address. */
const WORDS = 4;
/** Unknown source addresses that have a number at a time. */
const UNKNOWN = 16;

/** Addresses of one network differ in few bits; the finaliser of MurmurHash3 spreads each of them to the lowest bits. */
function hash(a: number, b: number, c: number, d: number): number {
  let mixed = d ^ Math.imul(c, 0x9e3779b1) ^ Math.imul(b, 0x27d4eb2f) ^ Math.imul(a, 0x165667b1);
  mixed = Math.imul(mixed ^ (mixed >>> 16), 0x85ebca6b);
  mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2ae35);
  return mixed ^ (mixed >>> 16);
}

/** Returns memory for so many addresses, which control reads too. */
function wordsFor(capacity: number): SharedArrayBuffer {
  return new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT * WORDS * capacity);
}

export class Ipv6Addresses {
  /** Per number: its address in network order. */
  private words = new Int32Array(wordsFor(MIN_CAPACITY));
  /** Per number: the next number in its hash chain or in the free list; 0 ends both. */
  private next = new Int32Array(MIN_CAPACITY);
  /** Per hash: the first number of its chain. */
  private heads = new Int32Array(MIN_CAPACITY);
  private mask = MIN_CAPACITY - 1;
  /** The first number of the free list. */
  private free = 0;
  /** The lowest number that was never assigned. */
  private fresh = 1;
  private readonly scratch = new Int32Array(WORDS);
  private readonly scratchView = new DataView(this.scratch.buffer);
  private entries = 0;
  /** The latest unknown sources, in a ring, and how many there have been: the first had number -1. */
  private readonly unknown = new Int32Array(WORDS * UNKNOWN);
  private unknownCount = 0;

  get size(): number {
    return this.entries;
  }

  /** Returns the number of the address whose 16 bytes begin at word `at`; 0 without a number. */
  find(memory: Int32Array, at: number): number {
    const a = memory[at];
    const b = memory[at + 1];
    const c = memory[at + 2];
    const d = memory[at + 3];
    const { words, next } = this;
    let found = this.heads[hash(a, b, c, d) & this.mask];
    while (found !== 0) {
      const word = found * WORDS;
      // The last words first: addresses of one network differ there.
      if (words[word + 3] === d && words[word + 2] === c && words[word + 1] === b && words[word] === a) break;
      found = next[found];
    }
    return found;
  }

  /** Returns the number of a source address; a negative one for an unknown source. */
  source(memory: Int32Array, at: number): number {
    const known = this.find(memory, at);
    return known !== 0 ? known : this.unknownSource(memory, at);
  }

  private unknownSource(memory: Int32Array, at: number): number {
    const { unknown, unknownCount } = this;
    for (let index = unknownCount - 1; index >= 0 && index >= unknownCount - UNKNOWN; index--) {
      const first = (index % UNKNOWN) * WORDS;
      let word = 0;
      while (word < WORDS && unknown[first + word] === memory[at + word]) word++;
      if (word === WORDS) return -1 - index;
    }
    const first = (unknownCount % UNKNOWN) * WORDS;
    for (let word = 0; word < WORDS; word++) unknown[first + word] = memory[at + word];
    this.unknownCount++;
    return -1 - unknownCount;
  }

  /** Returns the address of a number. Allocates; for status only. */
  addressOf(number: number): Ipv6Address {
    this.write(number, this.scratch, 0);
    const word = (index: number): number => this.scratchView.getInt32(4 * index);
    return [word(0), word(1), word(2), word(3)];
  }

  /** Writes the 16 bytes of a number's address, starting at word `at`. */
  write(number: number, memory: Int32Array, at: number): void {
    const words = number < 0 ? this.unknown : this.words;
    const word = (number < 0 ? (-1 - number) % UNKNOWN : number) * WORDS;
    memory[at] = words[word];
    memory[at + 1] = words[word + 1];
    memory[at + 2] = words[word + 2];
    memory[at + 3] = words[word + 3];
  }

  /** Returns the words of all numbers, four each, for another thread to read. */
  shareWords(): Int32Array {
    return this.words;
  }

  /** Returns the number of an address, and assigns one if necessary. @throws RangeError for `::` */
  add(address: Ipv6Address): number {
    if (address.every((word) => word === 0)) throw new RangeError(':: cannot be the address of a peer');
    address.forEach((word, index) => this.scratchView.setInt32(4 * index, word));
    const known = this.find(this.scratch, 0);
    if (known !== 0) return known;
    const number = this.allocate();
    this.words.set(this.scratch, number * WORDS);
    this.link(number);
    this.entries++;
    return number;
  }

  /** Deletes the address of a number and frees the number. */
  delete(number: number): void {
    const { next, heads } = this;
    const chain = this.chainOf(number);
    if (heads[chain] === number) {
      heads[chain] = next[number];
    } else {
      let before = heads[chain];
      while (next[before] !== number) before = next[before];
      next[before] = next[number];
    }
    next[number] = this.free;
    this.free = number;
    this.entries--;
  }

  private allocate(): number {
    const number = this.free;
    if (number !== 0) {
      this.free = this.next[number];
      return number;
    }
    if (this.fresh === this.next.length) this.grow();
    return this.fresh++;
  }

  private chainOf(number: number): number {
    const { words } = this;
    const word = number * WORDS;
    return hash(words[word], words[word + 1], words[word + 2], words[word + 3]) & this.mask;
  }

  private link(number: number): void {
    const chain = this.chainOf(number);
    this.next[number] = this.heads[chain];
    this.heads[chain] = number;
  }

  /** Doubles the capacity; the free list is empty then. */
  private grow(): void {
    const capacity = this.next.length * 2;
    const words = new Int32Array(wordsFor(capacity));
    words.set(this.words);
    this.words = words;
    this.next = new Int32Array(capacity);
    this.heads = new Int32Array(capacity);
    this.mask = capacity - 1;
    for (let number = 1; number < this.fresh; number++) this.link(number);
  }
}
