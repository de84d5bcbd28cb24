import t, { type Test } from 'tap';
import { run } from '../../../../src/control/support/command.js';
import { Teardown } from '../../../../src/control/support/teardown.js';
import { catchLog } from '../../../support/catch-log.js';

const LIMITS = { step: 50, all: 100, least: 20 };

function rig(t: Test): { teardown: Teardown; steps: string[]; log: string[] } {
  return { teardown: new Teardown(LIMITS), steps: [], log: catchLog(t) };
}

t.test('Teardown runs its steps in reverse order, each once', async (t) => {
  const { teardown, steps } = rig(t);
  teardown.defer('the first', async () => void steps.push('first'));
  teardown.defer('the second', () => void steps.push('second'));
  await Promise.all([teardown.run(), teardown.run()]);
  await teardown.run();
  t.same(steps, ['second', 'first']);
});

t.test('Teardown logs each step that fails and runs the others', async (t) => {
  const { teardown, steps, log } = rig(t);
  teardown.defer('the last', () => void steps.push('last'));
  teardown.defer('the socket', () => Promise.reject(new Error('no socket')));
  teardown.defer('the routes', () => {
    throw new Error('no ip');
  });
  await teardown.run();
  t.same(steps, ['last']);
  t.match(log, [/shutdown: the routes: no ip$/, /shutdown: the socket: no socket$/]);
});

t.test('Teardown abandons steps that hang, names them, and starts every other one', async (t) => {
  const { teardown, steps, log } = rig(t);
  teardown.defer('the last', () => void steps.push('last'));
  for (const name of ['a', 'b', 'c', 'd']) teardown.defer(name, () => new Promise<void>(() => {}));
  await teardown.run();
  t.same(steps, ['last']);
  t.match(log, [/: d did not end within 50 ms; abandoning it$/, /: c /, /: b /, /: a /]);
});

t.test(
  'Teardown kills the command that a step waits for, even if its child keeps the output open',
  async (t) => {
    const { teardown, log } = rig(t);
    let code = 0;
    teardown.defer('the routes', async () => {
      ({ code } = await run('sh', ['-c', 'sleep 5 & wait']));
    });
    await teardown.run();
    t.equal(code, -1);
    t.same(log, []);
  },
);

t.test('Teardown runs a step that is added after the others have run', async (t) => {
  const { teardown, steps } = rig(t);
  await teardown.run();
  teardown.defer('a late step', async () => void steps.push('late'));
  await teardown.run();
  t.same(steps, ['late']);
});
