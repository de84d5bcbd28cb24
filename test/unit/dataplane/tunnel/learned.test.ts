import fc from 'fast-check';
import t from 'tap';
import { AGEING_MS, LearnedFdb, MAX_LEARNED, macKey } from '../../../../src/dataplane/tunnel/learned.js';

/** A clock that only the test advances, and the table with it: each time is a batch of its own. */
class Clock {
  private time = 1_000_000;
  table: LearnedFdb | undefined;

  get ms(): number {
    return this.time;
  }

  set ms(ms: number) {
    this.time = ms;
    this.table?.readClock();
  }

  now(): number {
    return this.time;
  }
}

function setUp(capacity?: number): { clock: Clock; learned: LearnedFdb } {
  const clock = new Clock();
  const learned = new LearnedFdb(capacity, clock);
  clock.table = learned;
  return { clock, learned };
}

const A = [0x0a00, 1] as const;
const B = [0x0a00, -2] as const;

t.test('macKey returns one number below 2^48', async (t) => {
  t.equal(macKey(0x0102, 0x03040506), 0x010203040506);
  t.equal(macKey(0xffff, -1), 2 ** 48 - 1);
  t.equal(macKey(0, -0x80000000), 0x80000000);
});

t.test('LearnedFdb.lookup returns the learned address', async (t) => {
  const { learned } = setUp();
  learned.learn(...A, 100);
  learned.learn(...B, 200);
  t.equal(learned.lookup(...A), 100);
  t.equal(learned.lookup(...B), 200);
  t.equal(learned.lookup(0x0a00, 2), 0);
  t.equal(learned.size, 2);
});

t.test('LearnedFdb forgets an entry 300 s after its last frame', async (t) => {
  t.equal(AGEING_MS, 300_000);
  const { clock, learned } = setUp();
  learned.learn(...A, 100);
  clock.ms += 300_000;
  t.equal(learned.lookup(...A), 100);
  clock.ms += 1;
  t.equal(learned.lookup(...A), 0);
  t.same(learned.entries(), []);
});

t.test('LearnedFdb reads the clock between batches only', async (t) => {
  let readings = 0;
  const learned = new LearnedFdb(2, { now: () => ++readings });
  learned.readClock();
  const before = readings;
  learned.learn(...A, 100);
  learned.learn(...B, 200);
  learned.lookup(...A);
  t.equal(readings, before);
});

t.test('LearnedFdb.lookup does not refresh an entry', async (t) => {
  const { clock, learned } = setUp();
  learned.learn(...A, 100);
  for (let i = 0; i < 10; i++) {
    clock.ms += 30_000;
    t.equal(learned.lookup(...A), 100);
  }
  clock.ms += 1;
  t.equal(learned.lookup(...A), 0);
});

t.test('LearnedFdb.learn refreshes an entry', async (t) => {
  const { clock, learned } = setUp();
  learned.learn(...A, 100);
  clock.ms += 299_000;
  learned.learn(...A, 100);
  clock.ms += 299_000;
  t.equal(learned.lookup(...A), 100);
});

t.test('LearnedFdb.learn refreshes an entry at most once per second', async (t) => {
  const { clock, learned } = setUp();
  learned.learn(...A, 100);
  clock.ms += 999;
  learned.learn(...A, 100);
  t.equal(learned.entries()[0]?.ageMs, 999, 'not written again');
  clock.ms += 1;
  learned.learn(...A, 100);
  t.equal(learned.entries()[0]?.ageMs, 0, 'written again');
});

t.test('LearnedFdb.learn replaces the address at once when a MAC moves to another VTEP', async (t) => {
  const { clock, learned } = setUp();
  learned.learn(...A, 100);
  clock.ms += 1;
  learned.learn(...A, 200);
  t.equal(learned.lookup(...A), 200);
  t.equal(learned.size, 1);
});

t.test('LearnedFdb.learn learns an aged-out MAC again', async (t) => {
  const { clock, learned } = setUp();
  learned.learn(...A, 100);
  clock.ms += 300_001;
  learned.learn(...A, 100);
  t.equal(learned.lookup(...A), 100);
  t.equal(learned.entries()[0]?.ageMs, 0);
});

t.test('LearnedFdb evicts the least recently used entry when it is full', async (t) => {
  const { clock, learned } = setUp(3);
  for (const low of [1, 2, 3]) learned.learn(0, low, low);
  clock.ms += 10;
  t.equal(learned.lookup(0, 1), 1, 'a lookup is use');
  learned.learn(0, 4, 4);
  t.equal(learned.size, 3);
  t.equal(learned.lookup(0, 2), 0);
  t.same(
    [1, 3, 4].map((low) => learned.lookup(0, low)),
    [1, 3, 4],
  );
});

t.test('LearnedFdb has a default capacity of MAX_LEARNED', async (t) => {
  const { learned } = setUp();
  for (let low = 1; low <= MAX_LEARNED + 10; low++) learned.learn(0, low, low);
  t.equal(learned.size, MAX_LEARNED);
  t.equal(learned.lookup(0, 10), 0);
  t.equal(learned.lookup(0, 11), 11);
});

t.test('LearnedFdb.entries returns MAC, address and age, most recently used first', async (t) => {
  const { clock, learned } = setUp();
  learned.learn(...A, 100);
  clock.ms += 2000;
  learned.learn(...B, 200);
  clock.ms += 3000;
  t.same(learned.entries(), [
    { mac: macKey(...B), address: 200, ageMs: 3000 },
    { mac: macKey(...A), address: 100, ageMs: 5000 },
  ]);
});

t.test('LearnedFdb agrees with a Map in the order of use', async (t) => {
  const CAPACITY = 12;
  const { clock, learned } = setUp(CAPACITY);
  const model = new Map<number, { address: number; time: number }>();
  const use = (mac: number, entry: { address: number; time: number }) => {
    model.delete(mac);
    model.set(mac, entry);
  };
  const number = fc.integer({ min: 1, max: 30 });
  const step = fc.record({
    learn: fc.boolean(),
    mac: number,
    address: number,
    wait: fc.constantFrom(0, 1, 60_000),
  });
  fc.assert(
    fc.property(fc.array(step, { minLength: 200, maxLength: 400 }), (steps) => {
      for (const { learn, mac, address, wait } of steps) {
        clock.ms += wait;
        const entry = model.get(mac);
        if (learn) {
          learned.learn(mac % 3, mac, address);
          if (entry?.address === address && clock.ms - entry.time < 1000) continue;
          if (entry === undefined && model.size === CAPACITY)
            model.delete(model.keys().next().value as number);
          use(mac, { address, time: clock.ms });
        } else {
          const known = entry !== undefined && clock.ms - entry.time <= 300_000;
          if (learned.lookup(mac % 3, mac) !== (known ? entry.address : 0)) return false;
          if (known) use(mac, entry);
        }
      }
      return learned.size === model.size;
    }),
    { numRuns: 50 },
  );
  const live = [...model].filter(([, { time }]) => clock.ms - time <= 300_000).reverse();
  t.same(
    learned.entries(),
    live.map(([mac, { address, time }]) => ({ mac: macKey(mac % 3, mac), address, ageMs: clock.ms - time })),
  );
});

t.test('LearnedFdb uses the real clock by default', async (t) => {
  const learned = new LearnedFdb();
  learned.learn(...A, 100);
  t.equal(learned.lookup(...A), 100);
});
