import t from 'tap';
import { deferred } from '../../../../src/control/support/deferred.js';

t.test('deferred settles its promise once', async (t) => {
  const one = deferred();
  one.resolve();
  one.reject(new Error('too late'));
  await t.resolves(one.promise);
  const other = deferred();
  other.reject(new Error('no'));
  await t.rejects(other.promise, { message: 'no' });
});

t.test('deferred causes no unhandled rejection while nothing awaits its promise', async (t) => {
  const unhandled: unknown[] = [];
  const listen = (error: unknown): number => unhandled.push(error);
  process.on('unhandledRejection', listen);
  t.teardown(() => process.off('unhandledRejection', listen));
  deferred().reject(new Error('no'));
  // Node reports unhandled rejections before the next turn of its event loop.
  await new Promise((resolve) => setImmediate(resolve));
  t.same(unhandled, []);
});
