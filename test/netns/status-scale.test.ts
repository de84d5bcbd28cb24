/** `weft status` with ten thousand peers: it answers soon, and holds up no packet. */

import t from 'tap';
import { exec } from '../../lab/exec.js';
import { madeUpLease, netConf } from '../../lab/leases.js';
import { WEFT_CLI } from '../../lab/world.js';
import { makeBed, startWeft } from './support/bed.js';
import { statusOf } from './support/state.js';

const LEASES = 10_000;

t.test(
  'weft status answers within the client time limit with ten thousand peers, all of them used',
  async (t) => {
    const lab = await makeBed(t, { name: 'scale', podsPerNode: 1 });
    const node = lab.node(1);
    const peers = Array.from({ length: LEASES }, (_, index) => madeUpLease(index));
    const weft = await startWeft(t, node, {
      leases: [node.lease(), ...peers],
      netConf: { ...netConf(), Network: '10.0.0.0/8' },
      flags: process.env.LEVEL ? ['--offload', process.env.LEVEL] : [],
    });
    for (let i = 0; i < 5; i++) {
      const start = performance.now();
      const status = await statusOf(weft);
      const asked = performance.now();
      await exec([process.execPath, WEFT_CLI, 'status', '--run-dir', weft.runDir]);
      const text = performance.now();
      await exec([process.execPath, WEFT_CLI, 'status', '--json', '--run-dir', weft.runDir]);
      t.comment(
        `${status.offload.rung}: answer ${(asked - start).toFixed()} ms, weft status ${(text - asked).toFixed()} ms, --json ${(performance.now() - text).toFixed()} ms`,
      );
      t.equal(status.peers.length, LEASES);
    }
  },
);
