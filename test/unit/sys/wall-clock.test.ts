import t from 'tap';
import { wallClock } from '../../../src/sys/wall-clock.js';

t.test('the wall clock is that of Date.now, with its fraction', async (t) => {
  const before = Date.now();
  const time = wallClock();
  t.ok(time >= before, `${time} after ${before}`);
  t.ok(time < Date.now() + 1, `${time} before the next millisecond`);
  const fractions = Array.from({ length: 10 }, () => wallClock() % 1);
  t.ok(
    fractions.some((fraction) => fraction > 0),
    'it has a fraction',
  );
});
