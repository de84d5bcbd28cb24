import { mock } from 'node:test';
import t, { type Test } from 'tap';
import { Backoff } from '../../../../src/control/support/backoff.js';

function drawing(t: Test, number: number): Backoff {
  const random = mock.method(Math, 'random', () => number);
  t.teardown(() => random.mock.restore());
  return new Backoff({ firstMs: 200, mostMs: 30_000 });
}

t.test('each wait is twice the one before, up to the longest, and reset begins anew', async (t) => {
  const backoff = drawing(t, 0);
  const waits = Array.from({ length: 10 }, () => backoff.next());
  t.same(waits, [200, 400, 800, 1600, 3200, 6400, 12_800, 25_600, 30_000, 30_000]);
  backoff.reset();
  t.equal(backoff.next(), 200);
});

t.test('a wait is shorter by chance, by a half at most', async (t) => {
  const backoff = drawing(t, 0.999);
  t.ok(backoff.next() > 100);
  t.ok(backoff.next() < 202);
});

t.test('what the server asks for is the least, and more by chance', async (t) => {
  t.equal(drawing(t, 0).next(5000), 5000);
  t.equal(drawing(t, 0.5).next(5000), 5625);
});
