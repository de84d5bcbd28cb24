import t from 'tap';
import { gsoRunLimit } from '../../../../src/dataplane/offload/gso-runs.js';

t.test('gsoRunLimit allows 63 datagrams before Linux 5.17, and 64 since', async (t) => {
  t.same(gsoRunLimit('auto', [5, 16, 99]), { datagrams: 63 });
  t.same(gsoRunLimit('auto', [0, 0, 0]), { datagrams: 63 });
  t.same(gsoRunLimit('auto', [5, 17, 0]), { datagrams: 64 });
  t.same(gsoRunLimit('auto', [6, 19, 9]), { datagrams: 64 });
});

t.test('gsoRunLimit allows no runs from Linux 7.0.0 to 7.1.4, and names the reason', async (t) => {
  for (const version of [
    [7, 0, 0],
    [7, 0, 30],
    [7, 1, 4],
  ] as const) {
    const limit = gsoRunLimit('auto', version);
    t.equal(limit.datagrams, 1);
    t.equal(limit.reason, `Linux ${version.join('.')} damages GSO runs; fixed in 7.1.5`);
  }
  t.same(gsoRunLimit('auto', [7, 1, 5]), { datagrams: 64 });
});

t.test('gsoRunLimit allows no runs when they are switched off', async (t) => {
  t.same(gsoRunLimit('off', [6, 18, 0]), { datagrams: 1, reason: 'GSO runs are switched off' });
});
