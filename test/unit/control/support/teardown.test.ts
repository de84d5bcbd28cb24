import t from 'tap';
import { Teardown } from '../../../../src/control/support/teardown.js';

t.test('Teardown runs its steps in reverse order, each once', async (t) => {
  const teardown = new Teardown();
  const steps: string[] = [];
  teardown.defer(async () => void steps.push('first'));
  teardown.defer(() => void steps.push('second'));
  await teardown.run();
  await teardown.run();
  t.same(steps, ['second', 'first']);
});

t.test('Teardown runs every step after a failure, then throws the first error', async (t) => {
  const teardown = new Teardown();
  const steps: string[] = [];
  teardown.defer(() => void steps.push('last'));
  teardown.defer(() => Promise.reject(new Error('second')));
  teardown.defer(() => {
    throw new Error('first');
  });
  await t.rejects(teardown.run(), { message: 'first' });
  t.same(steps, ['last']);
});
