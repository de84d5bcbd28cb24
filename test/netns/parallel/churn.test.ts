/** Leases that change thousands of times a second end in the state of the last set. */

import { setTimeout as delay } from 'node:timers/promises';
import t from 'tap';
import { madeUpLease, netConf, type VxlanLease, writeLeases } from '../../../lab/leases.js';
import { makeBed, startWefts } from '../support/bed.js';
import { answered } from '../support/pings.js';
import { settled, stateFor } from '../support/state.js';

const LEASES = 300;
const SETS = 100;
const EVERY_MS = 30;

t.test(
  'Weft applies the last of a hundred sets within three seconds, each with a third of the leases changed',
  async (t) => {
    const lab = await makeBed(t, { name: 'churn' });
    const [weft] = await startWefts(t, lab.nodes, { netConf: { ...netConf(), Network: '10.0.0.0/8' } });
    const node = lab.node(1);
    let extra: VxlanLease[] = [];
    for (let set = 1; set <= SETS; set++) {
      // A third of the leases is new or changed in each set, and a tenth is missing.
      extra = Array.from({ length: LEASES }, (_, index) =>
        madeUpLease(index, Math.floor((set + index) / 3)),
      ).filter((_, index) => (index + set) % 10 !== 0);
      await writeLeases(weft.leaseFile, [...lab.leases(), ...extra]);
      await delay(EVERY_MS);
    }
    const peers = [...node.peers(), ...extra];
    t.strictSame(await settled(node, weft, peers), stateFor(peers));
    await answered(t, lab.pod(1), lab.pod(2).address, 'a peer that never changed is reached');
    const applied = weft.process.output.match(/\d+ added or changed/g)?.length ?? 0;
    t.ok(applied < SETS, `${applied} sets applied of ${SETS}`);
  },
);
