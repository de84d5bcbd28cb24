/** Thirty thousand leases: Weft answers `weft status`, and becomes ready, while the kernel is still adding their routes. */

import t from 'tap';
import { spawnWeft } from '../../lab/dataplanes/weft.js';
import { madeUpLease, netConf } from '../../lab/leases.js';
import { until } from '../../lab/until.js';
import { makeBed } from './support/bed.js';
import { statusOf } from './support/state.js';

const LEASES = 30_000;

t.test('weft status answers while thirty thousand peers are being set up', async (t) => {
  const lab = await makeBed(t, { name: 'many' });
  const node = lab.node(1);
  const peers = Array.from({ length: LEASES }, (_, index) => madeUpLease(index));
  const weft = await spawnWeft(node, {
    leases: [node.lease(), ...peers],
    netConf: { ...netConf(), Network: '10.0.0.0/8' },
  });
  t.teardown(() => weft.stop());
  let routed = 0;
  await until(
    'a part of the routes',
    async () => {
      // It rejects if Weft does not answer within the time limit of its client.
      const answer: Partial<Awaited<ReturnType<typeof statusOf>>> = await statusOf(weft).catch((error) => {
        // The control socket opens a moment after the process starts.
        if (String(error).includes('not running')) return {};
        throw error;
      });
      routed = answer.peers?.filter(({ route }) => route).length ?? 0;
      return routed > 0;
    },
    { timeoutMs: 40_000 },
  );
  t.ok(routed < LEASES, `${routed} routes at the first answer that has some`);
  t.match(await weft.statusText(), /^peers \(30000\)$/m);
});
