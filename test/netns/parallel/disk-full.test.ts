/** A file system without room for Weft's files: one line at the start; at run time nothing is lost. */

import { readFile, rm } from 'node:fs/promises';
import t, { type Test } from 'tap';
import { READY } from '../../../lab/dataplanes/weft.js';
import { exec } from '../../../lab/exec.js';
import { netConf, writeLeases } from '../../../lab/leases.js';
import { until } from '../../../lab/until.js';
import { makeBed } from '../support/bed.js';
import { makePlace, type Place, runCommand, runFlags, startCommand } from '../support/cli.js';
import { networkOf, statusOf } from '../support/state.js';

/** Mounts a file system of this size for a place's run directory and subnet file. */
async function mountFor(t: Test, place: Place, options: string): Promise<{ dir: string; place: Place }> {
  const dir = `${place.runDir}-fs`;
  await exec(['mkdir', '-p', dir]);
  await exec(['mount', '-t', 'tmpfs', '-o', options, 'tmpfs', dir]);
  t.teardown(() => exec(['umount', '--lazy', dir]));
  return { dir, place: { ...place, runDir: `${dir}/run`, subnetFile: `${dir}/subnet.env` } };
}

/** Writes a file that takes all room which is left. */
async function fill(dir: string): Promise<void> {
  await exec(['sh', '-c', `cat /dev/zero > ${dir}/filler 2> /dev/null || true`]);
}

t.test('weft run ends with one line where its files have no room', async (t) => {
  const lab = await makeBed(t, { name: 'nospace' });
  const node = lab.node(1);
  for (const [what, options, line] of [
    [
      'no inode for the run directory',
      'nr_inodes=2,size=4k',
      /--run-dir \S+: cannot create the control socket .*ENOSPC/,
    ],
    [
      'no block for state.json',
      'size=4k',
      /--run-dir \S+: cannot write state\.json there: ENOSPC.*make room/,
    ],
    ['a read-only file system', 'ro', /--run-dir \S+: cannot create the control socket .*EROFS/],
  ] as const) {
    await t.test(what, async (t) => {
      const { dir, place } = await mountFor(t, await makePlace(node, { name: options }), options);
      if (options !== 'ro') await fill(dir);
      const before = await networkOf(node);
      const { code, stderr } = await runCommand(node, runFlags(place, node.iface));
      t.equal(code, 1);
      t.match(stderr, line);
      t.match(stderr, /^[^\n]*\n$|\nE[^\n]*\n$/, 'the error is one line');
      t.notMatch(stderr, /^ +at /m, 'no stack trace');
      t.strictSame(await networkOf(node), before, 'the network is as before');
    });
  }
});

t.test(
  'a disk that fills up at run time delays no lease, and its files follow once there is room',
  async (t) => {
    const lab = await makeBed(t, { name: 'fillsup', nodes: 3 });
    const node = lab.node(1);
    const conf = { ...netConf(), Backend: { Type: 'vxlan', DirectRouting: true } };
    const { dir, place } = await mountFor(t, await makePlace(node, { netConf: conf }), 'size=64k');
    const [own, second, third] = lab.leases();
    await writeLeases(place.leaseFile, [own, second]);
    const weft = startCommand(t, node, runFlags(place, node.iface));
    await weft.waitFor(READY);
    const state = async () =>
      JSON.parse(await readFile(`${place.runDir}/state.json`, 'utf8')) as { routes: string[] };
    await fill(dir);

    await writeLeases(place.leaseFile, [{ ...own, Subnet: '10.244.9.0/24' }, second, third]);
    await until('both peers are set up', async () => {
      const { peers, lease } = await statusOf(place);
      return lease.subnet === '10.244.9.0/24' && peers.length === 2 && peers.every(({ route }) => route);
    });
    t.equal((await statusOf(place)).leaseSource.refused, null, 'the leases are not refused');
    await weft.waitFor(/state\.json: it cannot be written: ENOSPC.*; retrying every second/);
    await weft.waitFor(/subnet\.env: it cannot be written: ENOSPC/);

    await rm(`${dir}/filler`);
    await weft.waitFor(/state\.json: written/);
    await weft.waitFor(/subnet\.env: written/);
    t.equal((await state()).routes.length, 2, 'the routes of both peers');
    t.match(await readFile(place.subnetFile, 'utf8'), 'FLANNEL_SUBNET=10.244.9.1/24');
    t.equal(weft.output.match(/it cannot be written/g)?.length, 2, 'each file is logged once');
    t.strictSame((await statusOf(place)).repairs, {}, 'these are no repairs');

    await exec(['mount', '-o', 'remount,ro', dir]);
    await writeLeases(place.leaseFile, [{ ...own, Subnet: '10.244.9.0/24' }, second]);
    await weft.waitFor(/state\.json: it cannot be written: EROFS/);
    await until('the peer is gone', async () => (await statusOf(place)).peers.length === 1);
    await exec(['mount', '-o', 'remount,rw', dir]);
    await until('state.json follows', async () => (await state()).routes.length === 1);
  },
);
