/** The numbers of IPv6 addresses against a Map as their model, after changes of the FDB that allocate and free them. */

import fc from 'fast-check';
import t from 'tap';
import { AddressTable } from '../../src/dataplane/tunnel/address-table.js';
import { applyIpv6Changes } from '../../src/dataplane/tunnel/changes.js';
import { Ipv6Addresses } from '../../src/dataplane/tunnel/ipv6-addresses.js';
import type { Ipv6Address } from '../../src/sys/sockaddr.js';
import { viewOf } from '../support/bytes.js';

const WORD = 3;

/** Returns an address as a sockaddr holds it, from word WORD on. */
function inMemory(address: Ipv6Address): Int32Array {
  const memory = new Int32Array(8).fill(-1);
  const view = viewOf(new Uint8Array(memory.buffer));
  address.forEach((word, index) => view.setInt32(4 * (WORD + index), word));
  return memory;
}

/** @throws when `write` does not write the address of a number, or changes other words */
function leadsBack(addresses: Ipv6Addresses, number: number, address: Ipv6Address): void {
  const written = new Int32Array(8).fill(-1);
  addresses.write(number, written, WORD);
  if (written.join() !== inMemory(address).join()) throw new Error(`${number} is ${written}, not ${address}`);
}

/** Few words, so that addresses share some of theirs, and the ends of the range. */
const word = fc.constantFrom(0, 1, 2, 0x20010db8, 0x7fffffff, -0x80000000, -1);
const address = fc
  .tuple(word, word, word, word)
  .filter((words) => words.some((part) => part !== 0)) as fc.Arbitrary<Ipv6Address>;
const key = fc.nat(20);
/** A change of some entries: keys to delete, and keys with new addresses. */
const change = fc.record({
  remove: fc.array(key, { maxLength: 10 }),
  set: fc.array(fc.tuple(key, address), { maxLength: 10 }),
});

t.test('Ipv6Addresses keeps a number for an address exactly while an entry uses it', async () => {
  fc.assert(
    fc.property(fc.array(change, { maxLength: 40 }), fc.array(address), (changes, unknown) => {
      const addresses = new Ipv6Addresses();
      const fdb = new AddressTable();
      const model = new Map<number, Ipv6Address>();
      for (const { remove, set } of changes) {
        applyIpv6Changes(fdb, addresses, {
          remove: Int32Array.from(remove.flatMap((low) => [0x0200, low])),
          set: Int32Array.from(set.flatMap(([low, words]) => [0x0200, low, ...words])),
        });
        for (const low of remove) model.delete(low);
        for (const [low, words] of set) model.set(low, words);

        const living = new Map([...model.values()].map((words) => [words.join(), words]));
        if (addresses.size !== living.size) throw new Error(`${addresses.size}, not ${living.size}`);
        if (fdb.size !== model.size) throw new Error(`${fdb.size} entries, not ${model.size}`);
        for (const [low, words] of model) {
          const number = fdb.lookup(0x0200, low);
          leadsBack(addresses, number, words);
          if (addresses.find(inMemory(words), WORD) !== number) throw new Error(`${words} is not found`);
        }
        for (const words of unknown) {
          const found = addresses.find(inMemory(words), WORD);
          if (found !== 0 && !living.has(words.join())) throw new Error(`${words} has number ${found}`);
        }
      }
    }),
    { numRuns: 200 },
  );
});

t.test('Ipv6Addresses loses no address when it grows, and reuses free numbers', async () => {
  fc.assert(
    fc.property(
      fc.uniqueArray(fc.tuple(fc.integer(), fc.integer(), fc.integer(), fc.integer({ min: 1 })), {
        minLength: 100,
        maxLength: 800,
        size: 'max',
        selector: (words) => words.join(),
      }),
      fc.nat(),
      (list, seed) => {
        const addresses = new Ipv6Addresses();
        const numbers = new Map<number, Ipv6Address>();
        for (let round = 0; round < 3; round++) {
          for (const words of list) numbers.set(addresses.add(words), words);
          if (numbers.size !== list.length) throw new Error(`${numbers.size} numbers`);
          if (Math.max(...numbers.keys()) > list.length) throw new Error('a number was not given again');
          for (const [number, words] of numbers) leadsBack(addresses, number, words);
          const order = [...numbers.keys()].sort((a, b) => Math.imul(a, seed | 1) - Math.imul(b, seed | 1));
          for (const number of order) {
            addresses.delete(number);
            if (addresses.find(inMemory(numbers.get(number) as Ipv6Address), WORD) !== 0)
              throw new Error(`${number} is still there`);
            numbers.delete(number);
          }
          if (addresses.size !== 0) throw new Error(`${addresses.size} are left`);
        }
      },
    ),
    { numRuns: 10 },
  );
});
