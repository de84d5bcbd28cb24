import t from 'tap';
import { Shutdown } from '../../../src/control/shutdown.js';

t.test('Shutdown.request aborts the signal and resolves wait, also if it came first', async (t) => {
  const shutdown = new Shutdown();
  t.equal(shutdown.requested, false);
  shutdown.request();
  t.equal(shutdown.requested, true);
  t.equal(shutdown.signal.aborted, true);
  await t.resolves(shutdown.wait);
});

t.test('Shutdown.fail rejects wait with the error', async (t) => {
  const shutdown = new Shutdown();
  shutdown.fail(new Error('the device is gone'));
  t.equal(shutdown.requested, true);
  await t.rejects(shutdown.wait, { message: 'the device is gone' });
});

t.test('Shutdown begins once', async (t) => {
  let begun = 0;
  const shutdown = new Shutdown(() => begun++);
  shutdown.request();
  shutdown.fail(new Error('too late'));
  shutdown.request();
  t.equal(begun, 1);
  await t.resolves(shutdown.wait);
});

t.test('Shutdown.follow leaves a run behind that does not follow the request', async (t) => {
  const shutdown = new Shutdown();
  const followed = shutdown.follow(new Promise(() => {}));
  shutdown.request();
  await t.resolves(followed);
});

t.test('Shutdown.follow throws the error that requested the shutdown, not one that it caused', async (t) => {
  const shutdown = new Shutdown();
  const run = shutdown.wait.catch(() => {
    throw new Error('aborted');
  });
  const followed = shutdown.follow(run);
  shutdown.fail(new Error('the device is gone'));
  await t.rejects(followed, { message: 'the device is gone' });
  const swallowed = new Shutdown();
  swallowed.fail(new Error('a bug'));
  await t.rejects(swallowed.follow(Promise.resolve()), { message: 'a bug' });
});

t.test('Shutdown.follow throws the error of a run that fails by itself', async (t) => {
  await t.rejects(new Shutdown().follow(Promise.reject(new Error('no lease'))), { message: 'no lease' });
});

t.test('Shutdown.drained resolves once the tunnels are gone', async (t) => {
  const shutdown = new Shutdown();
  shutdown.request();
  const order: string[] = [];
  const drained = shutdown.drained.then(() => order.push('drained'));
  order.push('before');
  shutdown.markDrained();
  await drained;
  t.same(order, ['before', 'drained']);
});
