/**
 * The table behind the FDB and the routes against a Map as its model: after any commands both give the same answers.
 */

import fc from 'fast-check';
import t from 'tap';
import { AddressTable } from '../../src/dataplane/tunnel/address-table.js';
import { LearnedFdb } from '../../src/dataplane/tunnel/learned.js';

type Model = Map<string, { high: number; low: number; address: number }>;

class SetCommand implements fc.Command<Model, AddressTable> {
  readonly high: number;
  readonly low: number;
  readonly address: number;

  constructor(high: number, low: number, address: number) {
    this.high = high;
    this.low = low;
    this.address = address;
  }

  check(): boolean {
    return true;
  }

  run(model: Model, fdb: AddressTable): void {
    const { high, low, address } = this;
    fdb.set(high, low, address);
    model.set(`${high} ${low}`, { high, low, address });
    same(model, fdb);
  }

  toString(): string {
    return `set(${this.high}, ${this.low}, ${this.address})`;
  }
}

class DeleteCommand implements fc.Command<Model, AddressTable> {
  readonly high: number;
  readonly low: number;

  constructor(high: number, low: number) {
    this.high = high;
    this.low = low;
  }

  check(): boolean {
    return true;
  }

  run(model: Model, fdb: AddressTable): void {
    const was = model.delete(`${this.high} ${this.low}`);
    if (fdb.delete(this.high, this.low) !== was) throw new Error(`delete said ${!was}`);
    if (fdb.lookup(this.high, this.low) !== 0) throw new Error('it is still there');
    same(model, fdb);
  }

  toString(): string {
    return `delete(${this.high}, ${this.low})`;
  }
}

/** @throws when the two differ */
function same(model: Model, fdb: AddressTable): void {
  if (fdb.size !== model.size) throw new Error(`size ${fdb.size}, not ${model.size}`);
  const vteps = new Set<number>();
  for (const { high, low, address } of model.values()) {
    vteps.add(address);
    const found = fdb.lookup(high, low);
    if (found !== address) throw new Error(`lookup(${high}, ${low}) is ${found}, not ${address}`);
  }
  for (const address of ADDRESSES) {
    if (fdb.hasAddress(address) !== vteps.has(address)) throw new Error(`hasAddress(${address})`);
  }
}

/** Few values, so that commands meet the same entries, and the ends of the ranges. */
const ADDRESSES = [1, 2, 3, 0x7fffffff, -0x80000000, -1];
const address = fc.constantFrom(...ADDRESSES);
const high = fc.constantFrom(0, 0x0200, 0xffff);
const low = fc.oneof(fc.integer({ min: 0, max: 60 }), fc.integer());

t.test('AddressTable equals a Map after any sequence of set and delete', async () => {
  const commands = fc.commands(
    [
      fc.tuple(high, low, address).map((args) => new SetCommand(...args)),
      fc.tuple(high, low).map((args) => new DeleteCommand(...args)),
    ],
    { maxCommands: 300, size: 'max' },
  );
  fc.assert(
    fc.property(commands, (sequence) => {
      fc.modelRun(() => ({ model: new Map() as Model, real: new AddressTable() }), sequence);
    }),
    { numRuns: 100 },
  );
});

t.test('AddressTable loses no entry when it grows and shrinks', async () => {
  fc.assert(
    fc.property(
      fc.uniqueArray(fc.tuple(high, fc.integer()), {
        minLength: 100,
        maxLength: 1500,
        size: 'max',
        selector: (pair) => pair.join(' '),
      }),
      fc.nat(),
      (pairs, seed) => {
        const fdb = new AddressTable();
        const model: Model = new Map();
        for (const [index, [h, l]] of pairs.entries()) {
          fdb.set(h, l, index + 1);
          model.set(`${h} ${l}`, { high: h, low: l, address: index + 1 });
        }
        same(model, fdb);
        const order = pairs.map((pair, index) => ({ pair, key: Math.imul(index + 1, seed | 1) }));
        order.sort((a, b) => a.key - b.key);
        for (const [index, { pair }] of order.entries()) {
          model.delete(pair.join(' '));
          if (!fdb.delete(...pair)) throw new Error('delete said false');
          if (index % 97 === 0) same(model, fdb);
        }
        same(model, fdb);
      },
    ),
    { numRuns: 20 },
  );
});

t.test(
  'LearnedFdb returns the newest address for 300 s after the last frame, in any order of events',
  async () => {
    const event = fc.record({
      wait: fc.oneof(fc.nat(2000), fc.nat(400_000)),
      low: fc.nat(5),
      address: fc.constantFrom(1, 2, 3),
    });
    fc.assert(
      fc.property(fc.array(event, { maxLength: 60 }), (events) => {
        let now = 1_000_000;
        const learned = new LearnedFdb(100, { now: () => now });
        const seen = new Map<number, { address: number; at: number }>();
        for (const { wait, low: l, address: a } of events) {
          now += wait;
          learned.readClock();
          learned.learn(0x0a00, l, a);
          seen.set(l, { address: a, at: now });
          for (const [other, last] of seen) {
            const found = learned.lookup(0x0a00, other);
            const age = now - last.at;
            // A refresh may be skipped for a second, so an entry may expire up to a second early.
            if (age <= 299_000 && found !== last.address) return false;
            if (age > 300_000 && found !== 0) return false;
            if (found !== 0 && found !== last.address) return false;
          }
        }
        return true;
      }),
      { numRuns: 300 },
    );
  },
);
