/** `weft status` with ten thousand peers shows what matters, and `weft status --json` fits its schema. */

import t from 'tap';
import { exec } from '../../lab/exec.js';
import { madeUpLease, netConf } from '../../lab/leases.js';
import { WEFT_CLI } from '../../lab/world.js';
import { schemaErrors } from '../support/status-schema.js';
import { makeBed, startWeft } from './support/bed.js';
import { statusOf } from './support/state.js';

const LEASES = 10_000;

t.test('weft status with ten thousand peers lists those with problems, and --all every peer', async (t) => {
  const lab = await makeBed(t, { name: 'scale' });
  const node = lab.node(1);
  const peers = Array.from({ length: LEASES }, (_, index) => madeUpLease(index));
  const weft = await startWeft(t, node, {
    leases: [node.lease(), ...peers],
    netConf: { ...netConf(), Network: '10.0.0.0/8' },
  });
  // No other host is there to answer.
  await exec(['ping', '-c', '1', '-W', '1', '10.0.7.1'], { netns: node.netns }).catch(() => {});
  const start = performance.now();
  const status = await statusOf(weft);
  const asked = performance.now();
  const text = await weft.statusText();
  t.comment(
    `answer ${(asked - start).toFixed()} ms, weft status ${(performance.now() - asked).toFixed()} ms`,
  );
  t.strictSame(schemaErrors(status), []);
  t.match(status.peers[7], { subnet: '10.0.7.0/24', state: 'neverHeard', heardAgeSeconds: null });
  t.match(text, /^peers with problems \(1\)\n {2}10\.0\.7\.0\/24 at 172\.16\.0\.8: never heard$/m);
  t.match(text, /^peers \(10000\)\n {2}1 never heard, 9999 unused\n {2}9999 peers without a problem/m);
  t.ok(text.split('\n').every((line) => line.length <= 80));
  const all = await exec([process.execPath, WEFT_CLI, 'status', '--all', '--run-dir', weft.runDir]);
  t.equal(all.stdout.match(/^ {2}10\.\d+\.\d+\.0\/24 /gm)?.length, LEASES);
});
