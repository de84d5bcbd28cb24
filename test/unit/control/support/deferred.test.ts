import t from 'tap';
import { deferred } from '../../../../src/control/support/deferred.js';

t.test('someone else settles the promise, once', async (t) => {
  const one = deferred();
  one.resolve();
  one.reject(new Error('too late'));
  await t.resolves(one.promise);
  const other = deferred();
  other.reject(new Error('no'));
  await t.rejects(other.promise, { message: 'no' });
});

t.test('a rejection that nobody awaits yet is not an unhandled one', async (t) => {
  const unhandled = (): void => {
    t.fail('unhandled');
  };
  process.on('unhandledRejection', unhandled);
  deferred().reject(new Error('no'));
  await new Promise((resolve) => setTimeout(resolve, 20));
  process.off('unhandledRejection', unhandled);
  t.pass('nothing happened');
});
