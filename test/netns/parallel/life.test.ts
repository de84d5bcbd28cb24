/** The end of Weft, and its next start. */

import { existsSync, readFileSync } from 'node:fs';
import { lstat } from 'node:fs/promises';
import t, { type Test } from 'tap';
import { ready, spawnWeft, type WeftDataplane } from '../../../lab/dataplanes/weft.js';
import { succeeds } from '../../../lab/exec.js';
import { madeUpLease, netConf, writeLeases } from '../../../lab/leases.js';
import { until } from '../../../lab/until.js';
import { makeBed, startWeft, startWefts } from '../support/bed.js';
import { makePlace, runCommand, runFlags } from '../support/cli.js';
import { startLoad } from '../support/load.js';
import { holdLock, pathOf } from '../support/rules.js';
import { networkOf, statusOf } from '../support/state.js';
import { Stopwatch } from '../support/stopwatch.js';

/** The time that Weft promises for a stop. */
const ENDS_WITHIN_MS = 1000;

const DEVICE = ['ip', 'link', 'show', 'dev', 'flannel.1'];

const STATE = ['sh', '-c', 'ip -o link; ip -4 route; ip neigh; ss -Hlun'];

/** Asserts that Weft has left no device (and so no route or neighbour), no UDP socket and no control socket. */
async function isGone(t: Test, weft: WeftDataplane): Promise<void> {
  const { stdout } = await weft.node.exec(STATE);
  t.notMatch(stdout, /flannel|:8472/, 'no device, route, neighbour or UDP socket');
  t.notOk(existsSync(`${weft.runDir}/weft.sock`), 'no control socket');
}

/** Asserts that Weft has left its device with routes and neighbours for the next start, and no socket. */
async function hasLeftDevice(t: Test, weft: WeftDataplane): Promise<void> {
  const { stdout } = await weft.node.exec(STATE);
  t.match(stdout, /^\d+: flannel\.1: /m);
  t.match(stdout, /^10\.244\.2\.0\/24 via 10\.244\.2\.0 dev flannel\.1 /m);
  t.match(stdout, /^10\.244\.2\.0 dev flannel\.1 lladdr 02:00:00:00:00:02 PERMANENT/m);
  t.notMatch(stdout, /:8472/, 'no UDP socket');
  t.notOk(existsSync(`${weft.runDir}/weft.sock`), 'no control socket');
}

for (const signal of ['SIGTERM', 'SIGINT'] as const) {
  t.test(`${signal} under load ends Weft with code 0 within a second and leaves the device`, async (t) => {
    const lab = await makeBed(t, { name: signal.toLowerCase() });
    const [weft] = await startWefts(t, lab.nodes);
    await startLoad(t, weft, lab.pod(1), lab.pod(2));
    const stopwatch = new Stopwatch();
    const exit = await weft.end(signal);
    stopwatch.stop(t, ENDS_WITHIN_MS, 'ended');
    t.strictSame(exit, { code: 0, signal: null });
    t.match(
      weft.process.stderr,
      /\] shutdownHandler sent cancel signal\.\.\.\n[^]*\] Exiting cleanly\.\.\.\n$/,
      "in flanneld's words",
    );
    await hasLeftDevice(t, weft);
  });
}

for (const moment of ['at the start', 'after an edit'] as const) {
  t.test(`SIGTERM while thousands of leases are applied ${moment} ends Weft within a second`, async (t) => {
    const lab = await makeBed(t, { name: moment.replaceAll(' ', '') });
    const node = lab.node(1);
    const real = [node.lease(), ...node.peers()];
    const leases = [...real, ...Array.from({ length: 10_000 }, (_, index) => madeUpLease(index))];
    const weft = await spawnWeft(node, {
      netConf: { ...netConf(), Network: '10.0.0.0/8' },
      leases: moment === 'at the start' ? leases : real,
    });
    if (moment === 'after an edit') {
      await ready(weft);
      await writeLeases(weft.leaseFile, leases);
    }
    await weft.process.waitFor(/peers: 1000[01] added/);
    const stopwatch = new Stopwatch();
    t.strictSame(await weft.end(), { code: 0, signal: null });
    stopwatch.stop(t, ENDS_WITHIN_MS, 'ended');
    if (moment === 'at the start') await isGone(t, weft);
    else await hasLeftDevice(t, weft);
  });
}

t.test('a locked firewall delays the rules and nothing else', async (t) => {
  const lab = await makeBed(t, { name: 'locked' });
  const node = lab.node(1);
  await holdLock(t);
  const env = { PATH: `${await pathOf(node, 'legacy', true)}:${process.env.PATH}` };
  const weft = await startWeft(t, node, { flags: ['--ip-masq'], env });
  t.match(readFileSync(weft.subnetFile, 'utf8'), 'FLANNEL_SUBNET=10.244.1.1/24');
  await writeLeases(weft.leaseFile, [{ ...node.lease(), Subnet: '10.244.101.0/24' }]);
  await until('subnet.env follows', () =>
    readFileSync(weft.subnetFile, 'utf8').includes('FLANNEL_SUBNET=10.244.101.1/24'),
  );
  const stopwatch = new Stopwatch();
  t.strictSame(await weft.end(), { code: 0, signal: null });
  stopwatch.stop(t, ENDS_WITHIN_MS, 'ended');
  t.notMatch(weft.process.stderr, /bootstrap done/, 'the rules are not applied');
});

t.test('SIGTERM during the start leaves nothing', async (t) => {
  const lab = await makeBed(t, { name: 'termstart' });
  for (const moment of [/Found network config/, /adding subnet/]) {
    const weft = await spawnWeft(lab.node(1));
    await weft.process.waitFor(moment);
    const { code, signal } = await weft.end();
    t.ok(code === 0 || signal === 'SIGTERM', `${moment}: ended with ${code ?? signal}`);
    await until('the device disappears', async () => !(await succeeds(DEVICE, { netns: lab.node(1).netns })));
  }
});

t.test('kill -9 during the start leaves no device', async (t) => {
  const lab = await makeBed(t, { name: 'kill9' });
  const weft = await spawnWeft(lab.node(1));
  await weft.process.waitFor(/adding subnet/);
  await weft.end('SIGKILL');
  await until('the device disappears', async () => !(await succeeds(DEVICE, { netns: lab.node(1).netns })));
});

t.test('the control socket is accessible to root alone', async (t) => {
  const lab = await makeBed(t, { name: 'socket' });
  const weft = await startWeft(t, lab.node(1));
  const socket = await lstat(`${weft.runDir}/weft.sock`);
  t.ok(socket.isSocket());
  t.equal(socket.mode & 0o777, 0o600);
});

t.test('a second Weft process', async (t) => {
  const lab = await makeBed(t, { name: 'second' });
  const [one, two] = lab.nodes;
  const weft = await startWeft(t, one);
  const cases = [
    {
      what: 'with the same run directory',
      node: two,
      flags: runFlags({ ...(await makePlace(two)), runDir: weft.runDir }, two.iface),
      says: new RegExp(`Weft already runs here \\(pid ${weft.process.pid}, run directory ${weft.runDir}\\)`),
    },
    {
      what: 'with the same port',
      node: one,
      flags: runFlags(await makePlace(one, { name: 'port', netConf: netConf({ VNI: 2 }) }), one.iface),
      says: /UDP port 8472 .*taken/,
    },
    {
      what: 'with the same device',
      node: one,
      flags: runFlags(await makePlace(one, { name: 'device', netConf: netConf({ Port: 4789 }) }), one.iface),
      says: new RegExp(`Weft already runs here \\(pid ${weft.process.pid}, `),
    },
  ];
  for (const { what, node, flags, says } of cases) {
    await t.test(`${what} is refused, and the first keeps running`, async (t) => {
      const before = await networkOf(node);
      const { code, stderr } = await runCommand(node, flags);
      t.equal(code, 1);
      t.match(stderr, says);
      t.equal(stderr.trimEnd().split('\n').length, 1, 'one line');
      t.strictSame(await networkOf(node), before, 'nothing has changed');
      t.equal((await statusOf(weft)).pid, weft.process.pid, 'the first process answers');
    });
  }
});
