import { mock } from 'node:test';
import t, { type Test } from 'tap';
import { Backoff } from '../../../../src/control/support/backoff.js';

/** Returns a back-off for which Math.random always returns this number. */
function drawing(t: Test, number: number, jitter?: boolean): Backoff {
  const random = mock.method(Math, 'random', () => number);
  t.teardown(() => random.mock.restore());
  return new Backoff({ firstMs: 200, mostMs: 30_000, ...(jitter !== undefined && { jitter }) });
}

t.test('Backoff doubles each wait up to mostMs, and starts with firstMs after reset', async (t) => {
  const backoff = drawing(t, 0);
  const waits = Array.from({ length: 10 }, () => backoff.next());
  t.same(waits, [200, 400, 800, 1600, 3200, 6400, 12_800, 25_600, 30_000, 30_000]);
  backoff.reset();
  t.equal(backoff.next(), 200);
});

t.test('Backoff shortens a wait at random by up to a half', async (t) => {
  const backoff = drawing(t, 0.999);
  t.ok(backoff.next() > 100);
  t.ok(backoff.next() < 202);
});

t.test('Backoff waits at least leastMs, and at random up to a quarter longer', async (t) => {
  t.equal(drawing(t, 0).next(5000), 5000);
  t.equal(drawing(t, 0.5).next(5000), 5625);
});

t.test('Backoff without jitter returns the full wait, and leastMs exactly', async (t) => {
  const backoff = drawing(t, 0.999, false);
  t.same([backoff.next(), backoff.next(), backoff.next(5000)], [200, 400, 5000]);
});
