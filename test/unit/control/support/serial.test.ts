import t from 'tap';
import { deferred } from '../../../../src/control/support/deferred.js';
import { Serial } from '../../../../src/control/support/serial.js';

t.test('Serial starts a task when the one before it has ended', async (t) => {
  const serial = new Serial();
  const steps: string[] = [];
  const gate = deferred();
  const first = serial.run(async () => {
    steps.push('first begins');
    await gate.promise;
    steps.push('first ends');
    return 1;
  });
  const second = serial.run(async () => {
    steps.push('second');
    return 2;
  });
  gate.resolve();
  t.same(await Promise.all([first, second]), [1, 2]);
  t.same(steps, ['first begins', 'first ends', 'second']);
});

t.test('Serial rejects the promise of a failed task only, and runs the next task', async (t) => {
  const serial = new Serial();
  const failed = serial.run(() => Promise.reject(new Error('asynchronous')));
  const thrown = serial.run(() => {
    throw new Error('synchronous');
  });
  const next = serial.run(async () => 'next');
  await t.rejects(failed, { message: 'asynchronous' });
  await t.rejects(thrown, { message: 'synchronous' });
  t.equal(await next, 'next');
});

t.test('Serial causes no unhandled rejection when the promise of a failed task is ignored', async (t) => {
  const unhandled: unknown[] = [];
  const listen = (error: unknown): number => unhandled.push(error);
  process.on('unhandledRejection', listen);
  t.teardown(() => process.off('unhandledRejection', listen));
  const serial = new Serial();
  void serial.run(() => Promise.reject(new Error('ignored')));
  await serial.idle();
  // Node reports unhandled rejections before the next turn of its event loop.
  await new Promise((resolve) => setImmediate(resolve));
  t.same(unhandled, []);
});

t.test('Serial.idle resolves once all tasks queued so far have ended', async (t) => {
  const serial = new Serial();
  await serial.idle();
  let ended = 0;
  for (let task = 0; task < 3; task++) {
    void serial.run(async () => {
      await new Promise((resolve) => setImmediate(resolve));
      ended++;
      if (task === 2) throw new Error('the last task fails');
    });
  }
  await serial.idle();
  t.equal(ended, 3);
});
