import t from 'tap';
import { AGEING_MS, LearnedFdb, MAX_LEARNED, macKey } from '../../../../src/dataplane/tunnel/learned.js';

/** A clock that stands until a test moves it. */
class Clock {
  ms = 1_000_000;

  now(): number {
    return this.ms;
  }
}

function setUp(capacity?: number): { clock: Clock; learned: LearnedFdb } {
  const clock = new Clock();
  return { clock, learned: new LearnedFdb(capacity, clock) };
}

const A = [0x0a00, 1] as const;
const B = [0x0a00, -2] as const;

t.test('a MAC is one number below 2^48', async (t) => {
  t.equal(macKey(0x0102, 0x03040506), 0x010203040506);
  t.equal(macKey(0xffff, -1), 2 ** 48 - 1);
  t.equal(macKey(0, -0x80000000), 0x80000000);
});

t.test('what was learned is found', async (t) => {
  const { learned } = setUp();
  learned.learn(...A, 100);
  learned.learn(...B, 200);
  t.equal(learned.lookup(...A), 100);
  t.equal(learned.lookup(...B), 200);
  t.equal(learned.lookup(0x0a00, 2), 0);
  t.equal(learned.size, 2);
});

t.test('an entry ages out 300 s after the last frame', async (t) => {
  t.equal(AGEING_MS, 300_000);
  const { clock, learned } = setUp();
  learned.learn(...A, 100);
  clock.ms += 300_000;
  t.equal(learned.lookup(...A), 100);
  clock.ms += 1;
  t.equal(learned.lookup(...A), 0);
  t.same(learned.entries(), []);
});

t.test('looking up does not keep an entry alive', async (t) => {
  const { clock, learned } = setUp();
  learned.learn(...A, 100);
  for (let i = 0; i < 10; i++) {
    clock.ms += 30_000;
    t.equal(learned.lookup(...A), 100);
  }
  clock.ms += 1;
  t.equal(learned.lookup(...A), 0);
});

t.test('another frame keeps an entry alive', async (t) => {
  const { clock, learned } = setUp();
  learned.learn(...A, 100);
  clock.ms += 299_000;
  learned.learn(...A, 100);
  clock.ms += 299_000;
  t.equal(learned.lookup(...A), 100);
});

t.test('an entry is refreshed at most once a second', async (t) => {
  const { clock, learned } = setUp();
  learned.learn(...A, 100);
  clock.ms += 999;
  learned.learn(...A, 100);
  t.equal(learned.entries()[0]?.ageMs, 999, 'not written again');
  clock.ms += 1;
  learned.learn(...A, 100);
  t.equal(learned.entries()[0]?.ageMs, 0, 'written again');
});

t.test('a MAC that moves to another VTEP is followed at once', async (t) => {
  const { clock, learned } = setUp();
  learned.learn(...A, 100);
  clock.ms += 1;
  learned.learn(...A, 200);
  t.equal(learned.lookup(...A), 200);
  t.equal(learned.size, 1);
});

t.test('an aged-out MAC is learned anew', async (t) => {
  const { clock, learned } = setUp();
  learned.learn(...A, 100);
  clock.ms += 300_001;
  learned.learn(...A, 100);
  t.equal(learned.lookup(...A), 100);
  t.equal(learned.entries()[0]?.ageMs, 0);
});

t.test('when full, the entry unused for longest goes', async (t) => {
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

t.test('without further notice the bound is MAX_LEARNED', async (t) => {
  const { learned } = setUp();
  for (let low = 1; low <= MAX_LEARNED + 10; low++) learned.learn(0, low, low);
  t.equal(learned.size, MAX_LEARNED);
  t.equal(learned.lookup(0, 10), 0);
  t.equal(learned.lookup(0, 11), 11);
});

t.test('entries lists MAC, address and age, the one used last first', async (t) => {
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

t.test('the real clock is used where none is given', async (t) => {
  const learned = new LearnedFdb();
  learned.learn(...A, 100);
  t.equal(learned.lookup(...A), 100);
});
