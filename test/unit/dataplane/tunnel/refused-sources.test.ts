import t from 'tap';
import { RefusedSources, sumRefused } from '../../../../src/dataplane/tunnel/refused-sources.js';

t.test('RefusedSources counts by source and lease, and a new source replaces the oldest of 16', async (t) => {
  const refused = new RefusedSources((number) => number + 1000);
  for (let i = 0; i < 3; i++) refused.note(1, 9);
  refused.note(1, 8);
  t.same(refused.read(), [
    { address: 1001, leased: 1009, count: 3 },
    { address: 1001, leased: 1008, count: 1 },
  ]);
  for (let source = 2; source <= 16; source++) refused.note(source, 9);
  const left = refused.read();
  t.equal(left.length, 16);
  t.notOk(left.some(({ address, leased }) => address === 1001 && leased === 1009));
  t.ok(left.some(({ address, leased }) => address === 1001 && leased === 1008));
});

t.test('sumRefused adds the threads source by source', async (t) => {
  const one = { address: 1, leased: 2, count: 3 };
  t.same(sumRefused([one, { ...one, leased: 4 }, one]), [
    { address: 1, leased: 2, count: 6 },
    { address: 1, leased: 4, count: 3 },
  ]);
});
