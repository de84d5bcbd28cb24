import t from 'tap';
import { until } from '../../../../lab/until.js';
import type { FamilyFacts, Obstacle, ObstacleCheck } from '../../../../src/control/obstacles/obstacle.js';
import { findObstacles, ObstacleWatch } from '../../../../src/control/obstacles/obstacle-watch.js';
import { catchLog } from '../../../support/catch-log.js';

const FACTS = [{ family: 'ipv4' }, { family: 'ipv6' }] as FamilyFacts[];
const REJECT: Obstacle = { key: 'reject', message: 'a rule drops pod traffic' };

t.test('ObstacleWatch logs an obstacle when it appears and when it disappears', async (t) => {
  const log = catchLog(t);
  let found = [REJECT];
  let runs = 0;
  const check: ObstacleCheck = async ({ family }) => {
    runs++;
    return family === 'ipv4' ? found : [];
  };
  const watch = new ObstacleWatch([{ checks: [check], everyMs: 5 }], () => FACTS);
  t.teardown(() => watch.close());
  await until('the checks ran', () => runs > 6);
  t.strictSame(watch.obstacles, [REJECT]);
  found = [];
  await until('the checks ran', () => watch.obstacles.length === 0);
  t.strictSame(log, ['W a rule drops pod traffic', 'I no longer: a rule drops pod traffic']);
});

t.test('ObstacleWatch keeps the result of a check that fails, and runs the other ones', async (t) => {
  catchLog(t);
  let fails = false;
  let runs = 0;
  const check: ObstacleCheck = () =>
    fails ? Promise.reject(new Error('no nft')) : Promise.resolve([REJECT]);
  const other: ObstacleCheck = async () => {
    runs++;
    return [];
  };
  const watch = new ObstacleWatch([{ checks: [check, other], everyMs: 5 }], () => FACTS);
  t.teardown(() => watch.close());
  await until('the checks ran', () => watch.obstacles.length === 1);
  fails = true;
  const before = runs;
  await until('the checks ran', () => runs > before + 4);
  t.strictSame(watch.obstacles, [REJECT]);
});

t.test('ObstacleWatch runs no check beside itself, and reports the others while it hangs', async (t) => {
  catchLog(t);
  let hanging = 0;
  let runs = 0;
  const hangs: ObstacleCheck = () => {
    hanging++;
    return new Promise(() => {});
  };
  const check: ObstacleCheck = async () => {
    runs++;
    return [REJECT];
  };
  const watch = new ObstacleWatch([{ checks: [hangs, check], everyMs: 5 }], () => FACTS.slice(0, 1), 20);
  t.teardown(() => watch.close());
  await until('the checks ran', () => runs > 3 && watch.obstacles.length === 1);
  t.equal(hanging, 1);
});

t.test('checkNow runs a check that still runs once more, and waits for the present state', async (t) => {
  catchLog(t);
  let found: Obstacle[] = [];
  const started: (() => void)[] = [];
  const check: ObstacleCheck = async () => {
    const seen = found;
    await new Promise<void>((resolve) => started.push(resolve));
    return seen;
  };
  const watch = new ObstacleWatch([{ checks: [check], everyMs: 60_000 }], () => FACTS.slice(0, 1));
  t.teardown(() => watch.close());
  found = [REJECT];
  const checked = Promise.all([watch.checkNow(), watch.checkNow()]);
  started[0]?.();
  await until('the check runs again', () => started.length > 1);
  t.strictSame(watch.obstacles, [], 'the first result is of the older state');
  started[1]?.();
  await checked;
  t.strictSame(watch.obstacles, [REJECT]);
  t.equal(started.length, 2);
});

t.test('checkNow waits for a check that hangs only until the limit', async (t) => {
  catchLog(t);
  const checks: ObstacleCheck[] = [() => new Promise(() => {}), async () => [REJECT]];
  const watch = new ObstacleWatch([{ checks, everyMs: 60_000 }], () => FACTS.slice(0, 1), 500);
  t.teardown(() => watch.close());
  await watch.checkNow(20);
  t.strictSame(watch.obstacles, [REJECT]);
});

t.test('ObstacleWatch logs nothing after close, and stops the commands of a check', async (t) => {
  const log = catchLog(t);
  let finish: (found: Obstacle[]) => void = () => {};
  let stopped: AbortSignal | undefined;
  const check: ObstacleCheck = (_, signal) =>
    new Promise((resolve) => {
      finish = resolve;
      stopped = signal;
    });
  const watch = new ObstacleWatch([{ checks: [check], everyMs: 1000 }], () => FACTS.slice(0, 1));
  watch.close();
  t.equal(stopped?.aborted, true);
  finish([REJECT]);
  await new Promise(setImmediate);
  t.strictSame(log, []);
});

t.test('findObstacles returns the obstacles of all checks and families', async (t) => {
  const check: ObstacleCheck = async ({ family }) => [{ key: family, message: family }];
  const fails: ObstacleCheck = () => Promise.reject(new Error('no'));
  const found = await findObstacles([check, fails], FACTS);
  t.strictSame(
    found.map(({ key }) => key),
    ['ipv4', 'ipv6'],
  );
});
