/** Forwarding threads that fail, hang or lose a descriptor. */

import { cp, rename, symlink, writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import t, { type Test } from 'tap';
import type { WeftDataplane } from '../../lab/dataplanes/weft.js';
import type { Lab } from '../../lab/lab.js';
import { ping } from '../../lab/traffic/ping.js';
import { until } from '../../lab/until.js';
import { DIST } from '../../lab/world.js';
import { makeBed, startWeft } from './support/bed.js';
import { answered } from './support/pings.js';
import { statusOf } from './support/state.js';

const PRELOAD = fileURLToPath(new URL('./peer/faulty-worker.js', import.meta.url));

interface Rig {
  lab: Lab;
  weft: WeftDataplane;
  /** Makes the forwarding thread that is asked next fail. Each is asked once a second. */
  inject(fault: string): Promise<void>;
}

/** `cli`: makes the compiled command of another checkout in a directory, and returns its path. */
async function rig(t: Test, name: string, cli?: (dir: string) => Promise<string>): Promise<Rig> {
  const lab = await makeBed(t, { name });
  const file = `${lab.node(1).dir}/fault`;
  const weft = await startWeft(t, lab.node(1), {
    nodeFlags: ['--import', PRELOAD],
    env: { WEFT_TEST_FAULT: file },
    // The fast path would carry the packets.
    flags: ['--offload', 'gso'],
    ...(cli && { cli: await cli(lab.node(1).dir) }),
  });
  await startWeft(t, lab.node(2), { flags: ['--offload', 'gso'] });
  await answered(t, lab.pod(1), lab.pod(2).address);
  const inject = async (fault: string): Promise<void> => {
    await writeFile(`${file}.new`, fault);
    await rename(`${file}.new`, file);
  };
  return { lab, weft, inject };
}

async function counterOf(weft: WeftDataplane, name: string): Promise<number> {
  return (await statusOf(weft)).counters[name] ?? 0;
}

for (const [fault, says] of [
  ['throw', /failed: TypeError: injected fault \(faulty-worker\.js:\d+[^\n]*; another one takes its place/],
  ['exit', /failed: it exited with code 3; another/],
  ['memory', /failed: Error: [^\n]*memory limit/],
  ['loop', /failed: it does not answer; another/],
  ['block', /failed: it does not answer; another/],
  ['close doorbell', /failed: SystemError: ppoll: EBADF/],
] as const) {
  t.test(`a thread with the fault "${fault}" is replaced, and packets pass again`, async (t) => {
    const { lab, weft, inject } = await rig(t, `t${fault.replace(' ', '')}`);
    const sent = await counterOf(weft, 'tx_packets');
    const pings = ping(lab.pod(1).netns, lab.pod(2).address, { count: 400, interval: 0.005 });
    await inject(fault);
    await weft.process.waitFor(says);
    const { received, max } = await pings;
    t.comment(`${fault}: ${received} of 400 requests answered, the slowest after ${max} ms`);
    await answered(t, lab.pod(1), lab.pod(2).address);
    t.equal(await counterOf(weft, 'worker_restarts'), 1);
    t.ok((await counterOf(weft, 'tx_packets')) >= sent + received, 'the counters continue');
    t.equal((await statusOf(weft)).notReady, null);
    t.strictSame(await weft.end(), { code: 0, signal: null });
  });
}

t.test('weft status answers while a thread hangs, and names it', async (t) => {
  const { weft, inject } = await rig(t, 'hang');
  await inject('loop');
  await until('the reason', async () => (await statusOf(weft)).notReady !== null);
  t.equal((await statusOf(weft)).notReady, 'forwarding thread 1 of flannel.1 does not answer');
});

t.test('the fifth failure of a thread within a minute ends Weft with code 1 and one line', async (t) => {
  const { weft, inject } = await rig(t, 'fifth');
  for (let failure = 1; failure < 5; failure++) {
    await inject('throw');
    await until('the replacement', async () => (await counterOf(weft, 'worker_restarts')) === failure);
  }
  await inject('throw');
  t.strictSame(await weft.process.exited, { code: 1, signal: null });
  const errors = weft.process.stderr.split('\n').filter((line) => line.startsWith('E'));
  t.match(errors, [/forwarding thread 1 of flannel\.1 failed: .*, failure 5 within a minute; restart Weft$/]);
});

t.test('a thread that fails after an upgrade of the files ends Weft with code 1 and one line', async (t) => {
  let installed = '';
  const { weft, inject } = await rig(t, 'upgraded', async (dir) => {
    installed = `${dir}/installed`;
    await cp(`${DIST}src`, `${installed}/dist/src`, { recursive: true });
    for (const file of ['package.json', 'node_modules'])
      await symlink(`${DIST}../${file}`, `${installed}/${file}`);
    return `${installed}/dist/src/cli/weft.js`;
  });
  await writeFile(`${installed}/dist/src/dataplane/worker/worker.js`, '// The worker of another version.');
  await inject('exit');
  t.strictSame(await weft.process.exited, { code: 1, signal: null });
  const errors = weft.process.stderr.split('\n').filter((line) => line.startsWith('E'));
  t.match(errors, [
    /failed: it exited with code 3, and an upgrade has replaced the code on disk; restart Weft$/,
  ]);
});

t.test('a closed descriptor of the device is followed by a new device', async (t) => {
  const { lab, weft, inject } = await rig(t, 'closeddevice');
  await inject('close device');
  await weft.process.waitFor(/device flannel\.1 cannot be read any more \(EBADF\); recreating the device/);
  await until('the device', async () => (await statusOf(weft)).repairs.device === 1);
  await answered(t, lab.pod(1), lab.pod(2).address);
});

for (const which of ['socket', 'transmit']) {
  t.test(`a closed ${which} socket ends Weft with code 1 and one line`, async (t) => {
    const { lab, weft, inject } = await rig(t, `closed${which}`);
    await inject(`close ${which}`);
    await ping(lab.pod(1).netns, lab.pod(2).address, { count: 40, wait: 1 });
    t.strictSame(await weft.process.exited, { code: 1, signal: null });
    const errors = weft.process.stderr.split('\n').filter((line) => line.startsWith('E'));
    t.match(errors, [/the UDP socket cannot be read any more \(EBADF\); restart Weft$/]);
  });
}
