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
