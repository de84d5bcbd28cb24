/**
 * Numbers for the IPv6 addresses of peers. Everything between the sockets handles a peer's address as one 32-bit number;
 * over IPv6 it is the one that this table has given the address, from 1 up. 0 stands for every address without one.
 *
 * A number goes back with its address and is given again, so that a cluster whose nodes come and go for years does not
 * make the table grow. A chained hash table in typed arrays: a lookup allocates nothing. Owned by one worker; nothing is
 * locked.
 */

import type { Ipv6Address } from '../../sys/sockaddr.js';

const MIN_CAPACITY = 64;
/** 32-bit words of an address. */
const WORDS = 4;

/** Addresses of one network differ in a few bits, so all have to reach the lowest: the finalizer of MurmurHash3. */
function hash(a: number, b: number, c: number, d: number): number {
  let mixed = d ^ Math.imul(c, 0x9e3779b1) ^ Math.imul(b, 0x27d4eb2f) ^ Math.imul(a, 0x165667b1);
  mixed = Math.imul(mixed ^ (mixed >>> 16), 0x85ebca6b);
  mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2ae35);
  return mixed ^ (mixed >>> 16);
}

export class Ipv6Addresses {
  /** Per number: its address as it lies in memory, in network order. */
  private words = new Int32Array(WORDS * MIN_CAPACITY);
  /** Per number: the next in its chain, of a hash or of those that were given back; 0 ends it. */
  private next = new Int32Array(MIN_CAPACITY);
  /** Per hash: the first number of its chain. */
  private heads = new Int32Array(MIN_CAPACITY);
  private mask = MIN_CAPACITY - 1;
  private returned = 0;
  /** The lowest number that was never given. */
  private fresh = 1;
  private readonly scratch = new Int32Array(WORDS);
  private readonly scratchView = new DataView(this.scratch.buffer);
  private entries = 0;

  get size(): number {
    return this.entries;
  }

  /** The number of the address whose 16 bytes begin at word `at`; 0 when it has none. */
  find(memory: Int32Array, at: number): number {
    const a = memory[at];
    const b = memory[at + 1];
    const c = memory[at + 2];
    const d = memory[at + 3];
    const { words, next } = this;
    let found = this.heads[hash(a, b, c, d) & this.mask];
    while (found !== 0) {
      const word = found * WORDS;
      // The last words first: those of one network differ there.
      if (words[word + 3] === d && words[word + 2] === c && words[word + 1] === b && words[word] === a) break;
      found = next[found];
    }
    return found;
  }

  /** Writes the 16 bytes of a number's address from word `at` on. */
  write(number: number, memory: Int32Array, at: number): void {
    const { words } = this;
    const word = number * WORDS;
    memory[at] = words[word];
    memory[at + 1] = words[word + 1];
    memory[at + 2] = words[word + 2];
    memory[at + 3] = words[word + 3];
  }

  /** The number of an address, which is given one if it has none. Not `::`, which is no peer's. */
  add(address: Ipv6Address): number {
    if (address.every((word) => word === 0)) throw new RangeError(":: is no peer's address");
    address.forEach((word, index) => this.scratchView.setInt32(4 * index, word));
    const known = this.find(this.scratch, 0);
    if (known !== 0) return known;
    const number = this.take();
    this.words.set(this.scratch, number * WORDS);
    this.link(number);
    this.entries++;
    return number;
  }

  /** Takes a number, which has an address, back from it. */
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
    next[number] = this.returned;
    this.returned = number;
    this.entries--;
  }

  private take(): number {
    const number = this.returned;
    if (number !== 0) {
      this.returned = this.next[number];
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

  /** Called when every number is given: none is in the chain of those returned. */
  private grow(): void {
    const capacity = this.next.length * 2;
    const words = new Int32Array(WORDS * capacity);
    words.set(this.words);
    this.words = words;
    this.next = new Int32Array(capacity);
    this.heads = new Int32Array(capacity);
    this.mask = capacity - 1;
    for (let number = 1; number < this.fresh; number++) this.link(number);
  }
}
