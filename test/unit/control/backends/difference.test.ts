import t from 'tap';
import { difference } from '../../../../src/control/backends/difference.js';

t.test('difference returns removed keys, and new or changed entries', async (t) => {
  const applied = new Map([
    ['same', 1],
    ['changed', 1],
    ['gone', 1],
  ]);
  const wanted = new Map([
    ['same', 1],
    ['changed', 2],
    ['new', 1],
  ]);
  t.same(difference(applied, wanted), {
    gone: ['gone'],
    set: [
      ['changed', 2],
      ['new', 1],
    ],
  });
  t.same(difference(wanted, wanted), { gone: [], set: [] });
  t.same(difference(new Map(), new Map()), { gone: [], set: [] });
});
