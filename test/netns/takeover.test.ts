/** `weft run --takeover`: a new process replaces the running one. */

import { readFile, rm } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import t, { type Test } from 'tap';
import { ready, spawnWeft, type WeftDataplane } from '../../lab/dataplanes/weft.js';
import type { Lab } from '../../lab/lab.js';
import { netConf } from '../../lab/leases.js';
import type { LabNode } from '../../lab/node.js';
import { until } from '../../lab/until.js';
import { ask } from '../../src/control/ipc/client.js';
import { HandoverReceiver } from '../../src/dataplane/dataplane.js';
import { listenForNotices } from '../support/notify-socket.js';
import { makeBed, startWeft, startWefts } from './support/bed.js';
import { makePlace, runCommand, runFlags, startCommand } from './support/cli.js';
import { dualConf, dualLease, makeDualBed } from './support/dual-bed.js';
import { answered, startFlood } from './support/pings.js';
import { neighboursOf, statusOf } from './support/state.js';

/** Starts a successor on a node of the lab; its log appears if the test fails. */
async function succeed(
  t: Test,
  node: LabNode,
  options: Parameters<typeof spawnWeft>[1] = {},
): Promise<WeftDataplane> {
  const next = await spawnWeft(node, { ...options, flags: ['--takeover', ...(options.flags ?? [])] });
  t.teardown(async () => {
    await next.stop();
    if (!t.passing()) t.comment(`the successor logged:\n${next.tail()}`);
  });
  return next;
}

for (const { what, bed, options } of [
  { what: 'the fast path', bed: makeBed, options: () => ({}) },
  { what: 'vxlan', bed: makeBed, options: () => ({ flags: ['--offload=gso'] }) },
  { what: 'two workers', bed: makeBed, options: () => ({ flags: ['--offload=gso', '--workers=2'] }) },
  {
    what: 'udp',
    bed: makeBed,
    options: () => ({ netConf: { Network: '10.244.0.0/16', Backend: { Type: 'udp' } } }),
  },
  {
    what: 'dual stack',
    bed: makeDualBed,
    options: (lab: Lab) => ({ leases: lab.nodes.map(dualLease), netConf: dualConf() }),
  },
]) {
  t.test(`a takeover with ${what} loses no packet`, async (t) => {
    const lab = await bed(t, {
      name: `take${what.replaceAll(' ', '')}`,
      ...(what === 'udp' && { overhead: 28 }),
    });
    const node = lab.node(1);
    const [old] = await startWefts(t, lab.nodes, options(lab));
    const flood = startFlood(t, lab.pod(1), lab.pod(2).address);
    const next = await succeed(t, node, options(lab));
    await ready(next);
    t.strictSame(await old.process.exited, { code: 0, signal: null }, 'the old process exits with 0');
    t.match(next.process.stderr, `took over from the running Weft (pid ${old.process.pid})`);
    await answered(t, lab.pod(1), lab.pod(2).address);
    t.strictSame((await flood.end()).missing, []);
    const { pid, repairs } = await statusOf(next);
    t.strictSame({ pid, repairs }, { pid: next.process.pid, repairs: {} }, 'the new process answers');
  });
}

t.test('a takeover without a running Weft is a start', async (t) => {
  const lab = await makeBed(t, { name: 'takenone' });
  const next = await succeed(t, lab.node(1));
  await ready(next);
  t.equal((await statusOf(next)).pid, next.process.pid);
});

for (const { what, flags, conf, says } of [
  {
    what: 'another number of workers',
    flags: ['--workers=2'],
    conf: netConf(),
    says: /--takeover: the running Weft has the number of workers 1, and this one needs 2; stop the running Weft/,
  },
  {
    what: 'another VNI',
    flags: [],
    conf: netConf({ VNI: 2 }),
    says: /--takeover: the running Weft has flannel\.1, and this configuration needs flannel\.2; stop/,
  },
]) {
  t.test(`a takeover with ${what} is refused, and the old process stays in charge`, async (t) => {
    const lab = await makeBed(t, { name: `take${what.replaceAll(' ', '')}` });
    const node = lab.node(1);
    const [old] = await startWefts(t, lab.nodes);
    const place = await makePlace(node, { name: 'next', netConf: conf });
    const { code, stderr } = await runCommand(node, [
      ...runFlags({ ...place, runDir: old.runDir }, node.iface),
      '--takeover',
      ...flags,
    ]);
    t.equal(code, 1);
    t.match(stderr, says);
    t.equal((await statusOf(old)).pid, old.process.pid);
    // Its repairs have been paused.
    await node.exec(['ip', 'neigh', 'flush', 'dev', 'flannel.1', 'nud', 'permanent']);
    await until('the repair', async () => (await neighboursOf(node)).length > 0);
    await answered(t, lab.pod(1), lab.pod(2).address);
  });
}

t.test('a successor that is killed leaves the old process in charge', async (t) => {
  const lab = await makeBed(t, { name: 'takekill' });
  const [old] = await startWefts(t, lab.nodes);
  const next = await succeed(t, lab.node(1));
  await old.process.waitFor(/handing over to another Weft process/);
  await next.end('SIGKILL');
  await answered(t, lab.pod(1), lab.pod(2).address);
  const again = await succeed(t, lab.node(1));
  await ready(again);
  await answered(t, lab.pod(1), lab.pod(2).address, 'the next takeover succeeds');
});

t.test('after a takeover that failed, drift from its time is repaired at once', async (t) => {
  const lab = await makeBed(t, { name: 'takedrift' });
  const node = lab.node(1);
  const { runDir } = await startWeft(t, node);
  const path = `${runDir}/next.sock`;
  const receiver = new HandoverReceiver(path);
  t.teardown(() => rm(path, { force: true }));
  await ask(runDir, { command: 'hand-over', path, id: 'first' });
  receiver.close();
  await node.exec(['ip', 'neigh', 'flush', 'dev', 'flannel.1', 'nud', 'permanent']);
  // Longer than the drift monitor waits after an event.
  await delay(2000);
  await ask(runDir, { command: 'resume', id: 'first' });
  await until('the repair', async () => (await neighboursOf(node)).length > 0);
});

t.test('of two successors at once one takes over, and no packet is lost', async (t) => {
  const lab = await makeBed(t, { name: 'taketwo' });
  const node = lab.node(1);
  const [old] = await startWefts(t, lab.nodes);
  const flood = startFlood(t, lab.pod(1), lab.pod(2).address);
  const nexts = await Promise.all([succeed(t, node), succeed(t, node)]);
  await Promise.all(nexts.map((next) => Promise.race([ready(next), next.process.exited])));
  await old.process.exited;
  const [loser, ...others] = nexts.filter((next) => next.process.ended !== undefined);
  t.strictSame([loser?.process.ended, others], [{ code: 1, signal: null }, []]);
  t.match(loser?.process.stderr, /another Weft takes over|cannot be handed over|exited before it answered/);
  const [winner] = nexts.filter((next) => next !== loser);
  t.equal((await statusOf(winner)).pid, winner.process.pid);
  await answered(t, lab.pod(1), lab.pod(2).address);
  t.strictSame((await flood.end()).missing, []);
});

t.test('a takeover from a Weft of another run directory is refused', async (t) => {
  const lab = await makeBed(t, { name: 'takeother' });
  const node = lab.node(1);
  const old = await startWeft(t, node);
  const place = await makePlace(node, { name: 'other' });
  const { code, stderr } = await runCommand(node, [...runFlags(place, node.iface), '--takeover']);
  t.equal(code, 1);
  t.match(stderr, `--takeover: Weft already runs here (pid ${old.process.pid}, run directory ${old.runDir})`);
  await rm(place.runDir, { recursive: true, force: true });
});

t.test(
  'weft reload replaces the running Weft without a lost packet, and the service manager follows',
  async (t) => {
    const lab = await makeBed(t, { name: 'takereload' });
    const node = lab.node(1);
    const notices = listenForNotices(t);
    const env = { NOTIFY_SOCKET: notices.name };
    const place = await makePlace(node, { name: 'service' });
    const old = startCommand(t, node, runFlags(place, node.iface), { env });
    await Promise.all([startWeft(t, lab.node(2)), old.waitFor(/\] ready: /)]);
    await until('READY=1', async () => notices.messages().length > 0);
    const flood = startFlood(t, lab.pod(1), lab.pod(2).address);
    const [, ...flags] = runFlags(place, node.iface);
    // The new process keeps the output of the command open, so it goes to a file.
    const log = `${node.dir}/reload.log`;
    const under = ['sh', '-c', 'log=$1; shift; exec "$@" 2>"$log" >&2', 'sh', log];
    const { code } = await runCommand(node, ['reload', ...flags], { env, under }, 30_000);
    t.equal(code, 0, await readFile(log, 'utf8'));
    t.strictSame(await old.exited, { code: 0, signal: null }, 'the old process exits with 0');
    const { pid } = await statusOf(place);
    const stop = () => runCommand(node, ['cleanup', '--run-dir', place.runDir]);
    t.teardown(stop);
    await answered(t, lab.pod(1), lab.pod(2).address);
    t.strictSame((await flood.end()).missing, []);
    await stop();
    const [ready, reloading, ...rest] = notices.messages();
    t.equal(ready, 'READY=1');
    t.match(reloading, /^RELOADING=1\nMONOTONIC_USEC=\d+$/);
    t.strictSame(rest, [`READY=1\nMAINPID=${pid}`, 'READY=1', 'STOPPING=1']);
  },
);

t.test(
  'weft reload with flags that fail exits with 1, and the service manager keeps the old process',
  async (t) => {
    const lab = await makeBed(t, { name: 'takebadreload' });
    const node = lab.node(1);
    const notices = listenForNotices(t);
    const env = { NOTIFY_SOCKET: notices.name };
    const place = await makePlace(node, { name: 'service' });
    const old = startCommand(t, node, runFlags(place, node.iface), { env });
    await old.waitFor(/\] ready: /);
    const [, ...flags] = runFlags(place, node.iface, '--workers=2');
    const { code, stderr } = await runCommand(node, ['reload', ...flags], { env }, 30_000);
    t.equal(code, 1);
    t.match(stderr, /number of workers 1, and this one needs 2;[^]*weft: the new Weft ended \(exit code 1\)/);
    t.equal((await statusOf(place)).pid, old.pid);
    await until('the end of the takeover', async () => notices.messages().length === 3);
    t.strictSame([notices.messages()[0], notices.messages()[2]], ['READY=1', 'READY=1']);
  },
);

t.test('weft reload without a running Weft is refused', async (t) => {
  const lab = await makeBed(t, { name: 'takenoreload' });
  const node = lab.node(1);
  const place = await makePlace(node, { name: 'service' });
  const [, ...flags] = runFlags(place, node.iface);
  const { code, stderr } = await runCommand(node, ['reload', ...flags]);
  t.equal(code, 1);
  t.match(stderr, /Weft is not running there/);
});

t.test('a takeover from a stopped process fails with a line that names it', async (t) => {
  const lab = await makeBed(t, { name: 'takestopped' });
  const node = lab.node(1);
  const old = await startWeft(t, node);
  const { pid } = old.process;
  old.process.kill('SIGSTOP');
  t.teardown(() => old.process.kill('SIGCONT'));
  const next = await succeed(t, node);
  t.strictSame(await next.process.exited, { code: 1, signal: null });
  t.match(
    next.process.stderr,
    `--takeover: Weft (pid ${pid}) does not answer within 5 s, perhaps because of SIGSTOP`,
  );
});
