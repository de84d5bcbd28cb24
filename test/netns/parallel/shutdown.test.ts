/** The end of Weft in states in which something hangs, and after an error of the main thread. */

import { existsSync } from 'node:fs';
import { chmod, mkdir, rm, writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import t, { type Test } from 'tap';
import { ready, spawnWeft, type WeftDataplane, type WeftOptions } from '../../../lab/dataplanes/weft.js';
import { exec } from '../../../lab/exec.js';
import { ipBatch } from '../../../lab/ip.js';
import { netConf, writeNetConf } from '../../../lab/leases.js';
import type { LabNode } from '../../../lab/node.js';
import { until } from '../../../lab/until.js';
import { WEFT_CLI } from '../../../lab/world.js';
import { makeBed } from '../support/bed.js';
import { Stopwatch } from '../support/stopwatch.js';

const PRELOAD = fileURLToPath(new URL('../peer/faulty-worker.js', import.meta.url));
/** The time that Weft promises in every state. */
const ENDS_WITHIN_MS = 2000;

/** A server that accepts connections and never answers. */
const MUTE_SERVER = `require('node:net').createServer(() => {}).listen(6443, '127.0.0.1', () => console.log('listening'))`;

/** Sends SIGTERM and asserts that the process ends in time. */
async function endsInTime(t: Test, weft: Pick<WeftDataplane, 'process'>): Promise<void> {
  const stopwatch = new Stopwatch();
  const exit = await weft.process.stop('SIGTERM', 20_000);
  stopwatch.stop(t, ENDS_WITHIN_MS, 'ended');
  // Before the run begins, nothing has to be undone.
  if (exit.signal !== 'SIGTERM') t.strictSame(exit, { code: 0, signal: null });
}

interface Hanging {
  env: NodeJS.ProcessEnv;
  /** From now on the command hangs. */
  hold(): Promise<void>;
  /** Resolves once a call hangs. */
  held(): Promise<unknown>;
}

/** Puts a command in front of the real one, that hangs while a file exists. */
async function hanging(t: Test, node: LabNode, command: string): Promise<Hanging> {
  const bin = `${node.dir}/bin`;
  await mkdir(bin);
  const real = (await exec(['sh', '-c', `command -v ${command}`])).stdout.trim();
  const file = `${node.dir}/hold`;
  const held = `${node.dir}/held`;
  // The shell's child holds the output open after the shell was killed.
  const script = `#!/bin/sh\nif [ -e ${file} ]; then echo > ${held}; while [ -e ${file} ]; do sleep 0.1; done; fi\nexec ${real} "$@"\n`;
  await writeFile(`${bin}/${command}`, script);
  await chmod(`${bin}/${command}`, 0o755);
  t.teardown(() => rm(file, { force: true }));
  return {
    env: { PATH: `${bin}:${process.env.PATH}` },
    hold: () => writeFile(file, ''),
    held: () => until(`${command} hangs`, () => existsSync(held)),
  };
}

async function startWeft(t: Test, node: LabNode, options: WeftOptions): Promise<WeftDataplane> {
  const weft = await spawnWeft(node, options);
  t.teardown(async () => {
    await weft.process.stop('SIGKILL');
    if (!t.passing()) t.comment(weft.tail());
  });
  return weft;
}

for (const [command, flags] of [
  ['ip', []],
  ['iptables', ['--ip-masq']],
] as const) {
  t.test(`SIGTERM ends Weft while ${command} hangs at the start`, async (t) => {
    const node = (await makeBed(t, { name: `start${command}` })).node(1);
    const { env, hold, held } = await hanging(t, node, command);
    await hold();
    const weft = await startWeft(t, node, { env, flags });
    await held();
    await endsInTime(t, weft);
  });
}

t.test('SIGTERM ends Weft while ip hangs in a check', async (t) => {
  const node = (await makeBed(t, { name: 'checkip' })).node(1);
  const { env, hold, held } = await hanging(t, node, 'ip');
  const weft = await startWeft(t, node, { env });
  await ready(weft);
  await hold();
  await ipBatch(node.netns, ['link set flannel.1 mtu 1300']);
  await held();
  await endsInTime(t, weft);
  const { stdout } = await node.exec(['sh', '-c', 'ip -o link; ss -Hlun']);
  t.notMatch(stdout, /:8472/, 'no UDP socket');
  t.notOk(existsSync(`${weft.runDir}/weft.sock`), 'no control socket');
});

for (const fault of ['loop', 'block']) {
  t.test(`SIGTERM ends Weft while a forwarding thread hangs (${fault})`, async (t) => {
    const node = (await makeBed(t, { name: `end${fault}` })).node(1);
    const file = `${node.dir}/fault`;
    const weft = await startWeft(t, node, {
      nodeFlags: ['--import', PRELOAD],
      env: { WEFT_TEST_FAULT: file },
    });
    await ready(weft);
    await writeFile(file, fault);
    await until('the fault', () => !existsSync(file));
    await endsInTime(t, weft);
  });
}

t.test('SIGTERM ends Weft while the API server does not answer, and a health client neither', async (t) => {
  const node = (await makeBed(t, { name: 'mute' })).node(1);
  const server = node.start([process.execPath, '-e', MUTE_SERVER], { name: 'mute server' });
  t.teardown(() => server.stop('SIGKILL'));
  await server.waitFor(/listening/);
  const kubeconfig = `${node.dir}/kubeconfig`;
  const cluster = { name: 'c', cluster: { server: 'https://127.0.0.1:6443' } };
  const context = { name: 'c', context: { cluster: 'c', user: 'u' } };
  await writeFile(
    kubeconfig,
    JSON.stringify({
      apiVersion: 'v1',
      kind: 'Config',
      'current-context': 'c',
      clusters: [cluster],
      contexts: [context],
      users: [{ name: 'u', user: { token: 'token' } }],
    }),
  );
  const netConfPath = `${node.dir}/net-conf.json`;
  await writeNetConf(netConfPath, netConf());
  const flags = [
    '--kube-subnet-mgr',
    `--kubeconfig-file=${kubeconfig}`,
    '--healthz-port=8081',
    '--healthz-ip=127.0.0.1',
    `--run-dir=${node.dir}/run`,
    `--net-config-path=${netConfPath}`,
  ];
  const weft = node.start([process.execPath, WEFT_CLI, 'run', ...flags], {
    name: 'weft run',
    env: { NODE_NAME: 'node1' },
  });
  t.teardown(async () => {
    await weft.stop('SIGKILL');
    if (!t.passing()) t.comment(weft.tail());
  });
  await weft.waitFor(/Start healthz server/);
  const client = `const socket = require('node:net').connect(8081, '127.0.0.1', () => { socket.write('GET /re'); console.log('connected'); })`;
  const stuck = node.start([process.execPath, '-e', client], { name: 'stuck client' });
  t.teardown(() => stuck.stop('SIGKILL'));
  await stuck.waitFor(/connected/);
  await endsInTime(t, { process: weft });
});

t.test('SIGTERM ends Weft while a thread of Node reads a FIFO', async (t) => {
  const node = (await makeBed(t, { name: 'fifo' })).node(1);
  const fifo = `${node.dir}/fifo`;
  await exec(['mkfifo', fifo]);
  const weft = await startWeft(t, node, { nodeFlags: ['--import', PRELOAD], env: { WEFT_TEST_FIFO: fifo } });
  await ready(weft);
  await endsInTime(t, weft);
});

t.test(
  'an exception in the main thread ends Weft with code 1, one line and all steps of the shutdown',
  async (t) => {
    const node = (await makeBed(t, { name: 'main' })).node(1);
    const weft = await startWeft(t, node, { nodeFlags: ['--import', PRELOAD] });
    await ready(weft);
    weft.process.kill('SIGUSR2');
    t.strictSame(await weft.process.exited, { code: 1, signal: null });
    const lines = weft.process.stderr.trimEnd().split('\n');
    t.match(
      lines.at(-1),
      /^E.*\] unexpected error: TypeError: injected fault \(faulty-worker\.js:\d+\); please report it$/,
    );
    t.ok(
      lines.every((line) => /^[IWE]\d{4} /.test(line)),
      'no stack',
    );
    const { stdout } = await node.exec(['sh', '-c', 'ip -o link; ss -Hlun']);
    t.notMatch(stdout, /:8472/, 'no UDP socket');
    t.notOk(existsSync(`${weft.runDir}/weft.sock`), 'no control socket');
  },
);
