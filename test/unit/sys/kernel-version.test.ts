import t from 'tap';
import { isAtLeast, kernelVersion } from '../../../src/sys/kernel-version.js';

t.test('kernelVersion returns the numbers of a release and ignores what follows', async (t) => {
  t.same(kernelVersion('6.18.44-fc-v782'), [6, 18, 44]);
  t.same(kernelVersion('7.1.0-rc3+'), [7, 1, 0]);
  t.same(kernelVersion('5.4'), [5, 4, 0]);
  t.same(kernelVersion('unknown'), [0, 0, 0]);
});

t.test('isAtLeast compares number by number', async (t) => {
  t.ok(isAtLeast([5, 17, 0], [5, 17, 0]));
  t.ok(isAtLeast([6, 0, 0], [5, 17, 9]));
  t.notOk(isAtLeast([5, 9, 30], [5, 17, 0]));
  t.notOk(isAtLeast([7, 1, 4], [7, 1, 5]));
});
