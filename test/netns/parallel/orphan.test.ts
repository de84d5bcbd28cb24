/** Weft keeps forwarding without a reader of its log or without its terminal, and stays idle without traffic. */

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

/** Share of a CPU that an idle Weft may use; a loop that spins uses 1. A share is no promise of a time. */
const IDLE = 0.5;

/** Asserts that Weft applies and logs an edit, forwards, is idle otherwise, and ends on SIGTERM. */
async function goesOn(t: Test, lab: Lab, place: Place, pid: number): Promise<void> {
  for (const peers of [[], lab.node(1).peers()]) {
    await writeLeases(place.leaseFile, [lab.node(1).lease(), ...peers]);
    t.strictSame(await settled(lab.node(1), place, peers), stateFor(peers), 'an edit is applied');
  }
  const before = cpuSeconds(pid);
  const startedAt = performance.now();
  await answered(t, lab.pod(1), lab.pod(2).address, 'it forwards', { count: 10, interval: 0.1 });
  const used = (cpuSeconds(pid) - before) / ((performance.now() - startedAt) / 1000);
  t.ok(used < IDLE, `it used ${used.toFixed(2)} CPU seconds a second`);
  process.kill(pid, 'SIGTERM');
  await until('the end', () => !existsSync(`/proc/${pid}`));
}

t.test('Weft keeps running when the reader of its log has exited', async (t) => {
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
  t.equal(weft.exitCode, 0, 'exit code 0');
});

for (const { what, command } of [
  { what: 'in a session of its own', command: ['setsid', '--wait'] },
  {
    what: 'with standard input and output closed',
    command: ['sh', '-c', 'exec setsid --wait "$@" <&- >&-', 'sh'],
  },
]) {
  t.test(`Weft keeps running when its terminal is closed, ${what}`, async (t) => {
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

t.test('Weft ends when its controlling terminal is closed', async (t) => {
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
  t.pass('no process is left');
});
