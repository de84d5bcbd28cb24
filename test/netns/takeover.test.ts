/** Restarts and takeovers that keep the node's traffic. */

import t from 'tap';
import { ready, spawnWeft } from '../../lab/dataplanes/weft.js';
import { makeBed, startWefts } from './support/bed.js';
import { startFlood } from './support/pings.js';
import { statusOf } from './support/state.js';

t.test('a takeover loses no packet', async (t) => {
  const lab = await makeBed(t, { name: 'takeover' });
  const [old] = await startWefts(t, lab.nodes);
  const flood = startFlood(t, lab.pod(1), lab.pod(2).address);
  const next = await spawnWeft(lab.node(1), { flags: ['--takeover'] });
  await ready(next);
  t.strictSame(await old.process.exited, { code: 0, signal: null }, 'the old process exits with 0');
  const { answered, missing } = await flood.end();
  t.comment(`${answered} answered`);
  t.strictSame(missing, []);
  t.equal((await statusOf(next)).pid, next.process.pid);
});
