/** Weft restores its files, and is found by its device where they are gone. */

import { existsSync } from 'node:fs';
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import t from 'tap';
import { READY } from '../../../lab/dataplanes/weft.js';
import { until } from '../../../lab/until.js';
import { makeBed } from '../support/bed.js';
import { makePlace, runCommand, runFlags, startCommand } from '../support/cli.js';
import { statusOf } from '../support/state.js';

t.test('Weft without its files', async (t) => {
  const lab = await makeBed(t, { name: 'ownfiles' });
  const node = lab.node(1);
  const place = await makePlace(node);
  const other = await makePlace(node, { name: 'other' });
  const macs = `${place.runDir}/vtep-macs.json`;
  await mkdir(place.runDir);
  await writeFile(macs, '{"7":{}}\n');
  const weft = startCommand(t, node, runFlags(place, node.iface));
  await weft.waitFor(READY);
  const env = await readFile(place.subnetFile, 'utf8');

  await t.test(
    'restores subnet.env and the run directory, each with its directory, and counts both',
    async (t) => {
      await rm(dirname(place.subnetFile), { recursive: true });
      await rm(place.runDir, { recursive: true });
      const repairs = async () => (await statusOf(place).catch(() => undefined))?.repairs;
      await until(
        'both repairs',
        async () => (await repairs())?.runDir === 1 && (await repairs())?.subnetFile === 1,
      );
      t.equal(await readFile(place.subnetFile, 'utf8'), env);
      t.ok(existsSync(`${place.runDir}/state.json`));
      t.equal(await readFile(macs, 'utf8'), '{"7":{}}\n', 'the stored MACs');
    },
  );

  await t.test('refuses a second Weft, whatever its run directory', async (t) => {
    for (const second of [place, other]) {
      const { code, stderr } = await runCommand(node, runFlags(second, node.iface));
      t.equal(code, 1);
      t.match(stderr, `Weft already runs here (pid ${weft.pid}, run directory ${place.runDir})`);
    }
    t.equal((await statusOf(place)).device.up, true);
  });

  await t.test('is left alone by weft cleanup of another run directory', async (t) => {
    const args = ['cleanup', '--run-dir', other.runDir, '--subnet-file', place.subnetFile];
    const { code, stderr } = await runCommand(node, args);
    t.equal(code, 1);
    t.match(stderr, `weft cleanup --run-dir ${place.runDir}`);
    t.ok(existsSync(place.subnetFile));
  });

  await t.test('is stopped by weft cleanup, which waits for the socket', async (t) => {
    await rm(place.runDir, { recursive: true });
    const { code, stdout } = await runCommand(node, ['cleanup', '--run-dir', place.runDir]);
    t.equal(code, 0);
    t.match(stdout, /stopped Weft/);
    t.strictSame(await weft.exited, { code: 0, signal: null });
    t.notOk(existsSync(place.subnetFile));
  });
});

t.test('exactly one of two Weft processes that start at once runs', async (t) => {
  const lab = await makeBed(t, { name: 'twins' });
  const node = lab.node(1);
  const places = [await makePlace(node, { name: 'a' }), await makePlace(node, { name: 'b' })];
  const both = places.map((place) => startCommand(t, node, runFlags(place, node.iface, '--workers', '2')));
  const outcomes = await Promise.all(
    both.map((weft) =>
      weft.waitFor(READY).then(
        () => 'runs',
        async () => `exit ${(await weft.exited).code}`,
      ),
    ),
  );
  t.strictSame(outcomes.sort(), ['exit 1', 'runs']);
});
