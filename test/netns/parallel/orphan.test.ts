/** A weft that nobody listens to any more: it goes on forwarding, and costs nothing while there is nothing to forward. */

import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import t, { type Test } from 'tap';
import { READY } from '../../../lab/dataplanes/weft.js';
import { inNetns } from '../../../lab/exec.js';
import type { Lab } from '../../../lab/lab.js';
import { writeLeases } from '../../../lab/leases.js';
import { cpuSeconds } from '../../../lab/proc.js';
import { until } from '../../../lab/until.js';
import { WEFT_CLI } from '../../../lab/world.js';
import { makeBed, startWeft } from '../support/bed.js';
import { makePlace, type Place, runFlags } from '../support/cli.js';
import { answered } from '../support/pings.js';
import { settled, stateFor, statusOf } from '../support/state.js';

/** CPU seconds a second that an idle weft may take: far from none, further from all. */
const IDLE = 0.5;

/** Makes it log something by an edit, sees that it forwards, that it is idle otherwise, and that SIGTERM still ends it. */
async function goesOn(t: Test, lab: Lab, place: Place, pid: number): Promise<void> {
  for (const peers of [[], lab.node(1).peers()]) {
    await writeLeases(place.leaseFile, [lab.node(1).lease(), ...peers]);
    t.strictSame(await settled(lab.node(1), place, peers), stateFor(peers), 'it follows an edit');
  }
  const before = cpuSeconds(pid);
  const startedAt = performance.now();
  await answered(t, lab.pod(1), lab.pod(2).address, 'it forwards', { count: 10, interval: 0.1 });
  const used = (cpuSeconds(pid) - before) / ((performance.now() - startedAt) / 1000);
  t.ok(used < IDLE, `it used ${used.toFixed(2)} CPU seconds a second`);
  process.kill(pid, 'SIGTERM');
  await until('the end', () => !existsSync(`/proc/${pid}`));
}

t.test('the reader of its log has gone', async (t) => {
  const lab = await makeBed(t, { name: 'noreader' });
  const node = lab.node(1);
  await startWeft(t, lab.node(2));
  const place = await makePlace(node);
  const [file = '', ...args] = inNetns(node.netns, [
    process.execPath,
    WEFT_CLI,
    ...runFlags(place, node.iface),
  ]);
  const weft = spawn(file, args, { stdio: ['ignore', 'pipe', 'pipe'] });
  t.teardown(() => weft.kill('SIGKILL'));
  await until('weft answers', () => existsSync(place.subnetFile));
  weft.stdout.destroy();
  weft.stderr.destroy();
  await goesOn(t, lab, place, weft.pid ?? 0);
  t.equal(weft.exitCode, 0, 'and ends with 0');
});

for (const { what, command } of [
  { what: 'and weft is in a session of its own', command: ['setsid', '--wait'] },
  {
    what: 'and weft has closed standard input and output itself',
    command: ['sh', '-c', 'exec setsid --wait "$@" <&- >&-', 'sh'],
  },
]) {
  t.test(`its terminal has gone, ${what}`, async (t) => {
    const lab = await makeBed(t, { name: `noterm${command.length}` });
    const node = lab.node(1);
    await startWeft(t, lab.node(2));
    const place = await makePlace(node);
    const quoted = [...command, process.execPath, WEFT_CLI, ...runFlags(place, node.iface)].map(
      (word) => `'${word}'`,
    );
    const terminal = node.start([
      'script',
      '--quiet',
      '--return',
      '--command',
      quoted.join(' '),
      '/dev/null',
    ]);
    await terminal.waitFor(READY);
    const { pid } = await statusOf(place);
    t.teardown(() => existsSync(`/proc/${pid}`) && process.kill(pid, 'SIGKILL'));
    await terminal.stop('SIGKILL');
    await goesOn(t, lab, place, pid);
  });
}

t.test('its own terminal has gone: it ends, and its device with it', async (t) => {
  const lab = await makeBed(t, { name: 'hangup' });
  const node = lab.node(1);
  const place = await makePlace(node);
  const words = [process.execPath, WEFT_CLI, ...runFlags(place, node.iface)].map((word) => `'${word}'`);
  const terminal = node.start([
    'script',
    '--quiet',
    '--return',
    '--command',
    `exec ${words.join(' ')}`,
    '/dev/null',
  ]);
  await terminal.waitFor(READY);
  const { pid } = await statusOf(place);
  t.teardown(() => existsSync(`/proc/${pid}`) && process.kill(pid, 'SIGKILL'));
  await terminal.stop('SIGKILL');
  await until('the end', () => !existsSync(`/proc/${pid}`));
  const { stdout } = await node.exec(['ip', '-o', 'link']);
  t.notMatch(stdout, /flannel/);
});
