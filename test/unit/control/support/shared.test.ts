import t from 'tap';
import { Shared } from '../../../../src/control/support/shared.js';

t.test('Shared runs once for all callers that wait, and begins the run after their call', async (t) => {
  const ends: (() => void)[] = [];
  let runs = 0;
  const shared = new Shared(async () => {
    const run = ++runs;
    await new Promise<void>((resolve) => ends.push(resolve));
    return run;
  });
  const first = shared.get();
  const later = [shared.get(), shared.get(), shared.get()];
  t.equal(runs, 1);
  ends[0]();
  t.equal(await first, 1);
  t.equal(shared.isBusy, true);
  const last = shared.get();
  ends[1]();
  t.same(await Promise.all(later), [2, 2, 2]);
  ends[2]();
  t.equal(await last, 3);
  t.equal(shared.isBusy, false);
});

t.test('Shared passes a failure to the callers of that run only', async (t) => {
  let runs = 0;
  const shared = new Shared(async () => {
    if (++runs === 1) throw new Error('first');
    return runs;
  });
  const [first, second] = await Promise.allSettled([shared.get(), shared.get()]);
  t.match(first, { status: 'rejected', reason: { message: 'first' } });
  t.match(second, { status: 'fulfilled', value: 2 });
});
