import { mock } from 'node:test';
import t, { type Test } from 'tap';
import { Outage, type OutageTimes } from '../../../../src/control/leases/outage.js';
import { catchLog } from '../../../support/catch-log.js';

/** An outage with a clock that the test sets. */
function rig(t: Test, times: OutageTimes): { outage: Outage; log: string[]; at(ms: number): void } {
  let now = 1_000_000;
  const clock = mock.method(performance, 'now', () => now);
  t.teardown(() => clock.mock.restore());
  return {
    outage: new Outage(times),
    log: catchLog(t),
    at: (ms) => {
      now = 1_000_000 + ms;
    },
  };
}

t.test('Outage logs at once, then once a minute, and once at the end', async (t) => {
  const { outage, log, at } = rig(t, { graceMs: 0, quietMs: 0 });
  for (const ms of [0, 1000, 59_999, 60_000, 60_001, 119_999, 120_000]) {
    at(ms);
    outage.report(`away at ${ms}`);
  }
  outage.end('back');
  outage.end('back');
  t.same(log, ['W away at 0', 'W away at 60000', 'W away at 120000', 'I back']);
});

t.test('Outage logs a reason of another kind at once', async (t) => {
  const { outage, log } = rig(t, { graceMs: 0, quietMs: 0 });
  outage.report('refused', 1);
  outage.report('refused again', 1);
  outage.report('unauthorized', 2);
  t.same(log, ['W refused', 'W unauthorized']);
});

t.test('an outage shorter than both grace periods is neither reported nor logged', async (t) => {
  const { outage, log, at } = rig(t, { graceMs: 3000, quietMs: 3000 });
  outage.report('cut');
  at(2999);
  outage.report('cut again');
  t.equal(outage.notReady, null);
  outage.end('back');
  t.same(log, []);
  outage.report('cut');
  at(6000);
  t.equal(outage.notReady, 'cut', 'even without another attempt');
  outage.report('still cut');
  outage.end('back');
  t.equal(outage.notReady, null);
  t.same(log, ['W still cut', 'I back']);
});

t.test('an outage that is logged at once is reported after the grace period', async (t) => {
  const { outage, log, at } = rig(t, { graceMs: 3000, quietMs: 0 });
  outage.report('closed');
  t.same(log, ['W closed']);
  t.equal(outage.notReady, null);
  at(3000);
  t.equal(outage.notReady, 'closed');
});
