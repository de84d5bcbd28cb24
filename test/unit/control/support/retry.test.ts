import t, { type Test } from 'tap';
import { Retry } from '../../../../src/control/support/retry.js';

const PAUSES = { firstMs: 1000, mostMs: 4000, jitter: false };

/** Records timers in place of starting them. */
function timers(t: Test) {
  const pending = new Map<number, { action: () => void; pause: number }>();
  let next = 1;
  t.intercept(globalThis, 'setTimeout', {
    value: (action: () => void, pause: number) => {
      pending.set(next, { action, pause });
      return next++;
    },
  });
  t.intercept(globalThis, 'clearTimeout', { value: (id: number) => pending.delete(id) });
  return pending;
}

t.test('Retry schedules its action with growing pauses, one at a time', (t) => {
  const pending = timers(t);
  const retry = new Retry(PAUSES, () => {});
  t.same([retry.schedule(), retry.schedule(), retry.schedule(), retry.schedule()], [1000, 2000, 4000, 4000]);
  t.same(
    [...pending.values()].map(({ pause }) => pause),
    [4000],
  );
  t.end();
});

t.test('Retry.cancel drops the scheduled action and keeps the pause', (t) => {
  const pending = timers(t);
  const retry = new Retry(PAUSES, () => {});
  retry.schedule();
  retry.cancel();
  t.equal(pending.size, 0);
  t.equal(retry.schedule(), 2000);
  t.end();
});

t.test('Retry.reset makes the next pause the first one', (t) => {
  timers(t);
  const retry = new Retry(PAUSES, () => {});
  retry.schedule();
  retry.reset();
  t.equal(retry.schedule(), 1000);
  t.end();
});

t.test('Retry runs its action at the end of the pause', (t) => {
  const pending = timers(t);
  let runs = 0;
  const retry = new Retry(PAUSES, () => runs++);
  retry.schedule();
  for (const { action } of pending.values()) action();
  t.equal(runs, 1);
  t.end();
});
