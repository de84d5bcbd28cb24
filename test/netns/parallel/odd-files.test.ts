/** What is no file at the paths of a running Weft's files: it keeps its state, logs one line, and ends on SIGTERM. */

import { mkdir, rename, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import t from 'tap';
import { READY } from '../../../lab/dataplanes/weft.js';
import { exec } from '../../../lab/exec.js';
import { writeLeases } from '../../../lab/leases.js';
import { memory } from '../../../lab/proc.js';
import { until } from '../../../lab/until.js';
import { makeBed } from '../support/bed.js';
import { makePlace, runFlags, startCommand } from '../support/cli.js';
import { ODD_FILES } from '../support/odd-files.js';
import { settled, stateFor, statusOf } from '../support/state.js';

t.test('Weft with FIFOs, devices and huge files in place of its files', async (t) => {
  const lab = await makeBed(t, { name: 'oddfiles' });
  const node = lab.node(1);
  const place = await makePlace(node);
  const own = [`${place.runDir}/state.json`, `${place.runDir}/vtep-macs.json`, place.subnetFile];
  for (const path of own) {
    await mkdir(dirname(path), { recursive: true });
    await exec(['mkfifo', path]);
  }
  const weft = startCommand(t, node, runFlags(place, node.iface));

  await t.test('starts over FIFOs of an earlier run, and replaces them', async (t) => {
    await weft.waitFor(READY);
    t.match(weft.stderr, /state\.json: ignoring the state of the last run: this is a FIFO/);
    for (const path of [own[0] as string, place.subnetFile]) t.ok((await stat(path)).isFile(), path);
  });

  const peers = node.peers();
  const refused = async () => (await statusOf(place)).leaseSource.refused ?? undefined;
  for (const { what, make, line } of ODD_FILES) {
    await t.test(`keeps its leases when ${what} replaces the lease file`, async (t) => {
      const before = { length: weft.stderr.length, ...memory(weft.pid) };
      await make(`${place.leaseFile}.new`, place.leaseFile);
      await rename(`${place.leaseFile}.new`, place.leaseFile);
      t.match(await until('the refusal', refused), new RegExp(`leases\\.json.*${line}`));
      t.strictSame(await settled(node, place, peers), stateFor(peers), 'the state does not change');
      const grown = memory(weft.pid).resident - before.resident;
      t.ok(grown < 16, `resident memory grew by ${grown.toFixed(1)} MiB`);
      await writeLeases(place.leaseFile, lab.leases());
      await until('the good edit', async () => (await refused()) === undefined);
      const lines = weft.stderr.slice(before.length).split('\n').filter(Boolean);
      t.equal(lines.length, 1, `one line in the log: ${lines.join(' | ')}`);
    });
  }

  await t.test('restores subnet.env in place of a FIFO', async (t) => {
    await exec(['mkfifo', `${place.subnetFile}.new`]);
    await rename(`${place.subnetFile}.new`, place.subnetFile);
    await until('the repair', async () => (await statusOf(place)).repairs.subnetFile === 1);
    t.ok((await stat(place.subnetFile)).isFile());
  });

  await t.test('ends on SIGTERM while its lease file is a FIFO', async (t) => {
    await exec(['mkfifo', `${place.leaseFile}.new`]);
    await rename(`${place.leaseFile}.new`, place.leaseFile);
    await until('the refusal', refused);
    weft.kill('SIGTERM');
    t.strictSame(await weft.exited, { code: 0, signal: null });
  });
});
