import t from 'tap';
import { Pace } from '../../../../src/control/support/pace.js';

t.test('Pace pauses 19 times as long as a run took, at most 0.5 s, and not after a quiet time', async (t) => {
  let now = 1000;
  const pace = new Pace({ now: () => now });
  const runFor = (ms: number): Promise<void> =>
    pace.run(async () => {
      now += ms;
    });
  t.equal(pace.pauseMs, 0);
  await runFor(10);
  t.equal(pace.pauseMs, 190);
  now += 189;
  t.equal(pace.pauseMs, 1);
  now += 1000;
  t.equal(pace.pauseMs, 0);
  await runFor(1000);
  t.equal(pace.pauseMs, 500);
});

t.test('Pace pauses after a run that failed', async (t) => {
  let now = 0;
  const pace = new Pace({ now: () => now });
  const failing = pace.run(async () => {
    now += 10;
    throw new Error('no');
  });
  await t.rejects(failing, { message: 'no' });
  t.equal(pace.pauseMs, 190);
});
