/**
 * The complete output of each command on one scenario: three nodes, of which the second answers and the third never
 * does. Weft on the first has dropped a packet, and its kernel forwards nothing.
 */

import { readdirSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import t from 'tap';
import { ipBatch, sysctl } from '../../../lab/ip.js';
import { ping } from '../../../lab/traffic/ping.js';
import { until } from '../../../lab/until.js';
import { COMMANDS } from '../../../src/cli/commands.js';
import { weft as run } from '../../support/weft-command.js';
import { HandmadePeer } from '../peer/handmade.js';
import { makeBed, startWeft } from '../support/bed.js';
import { runCommand, runFlags, startCommand } from '../support/cli.js';
import { request, STRANGE_MAC, UNKNOWN_SOURCE } from '../support/drop-bed.js';
import { GOLDEN, golden, maskedJson, transcript } from '../support/golden.js';
import { statusOf } from '../support/state.js';

/** The level does not depend on the kernel of the machine. */
const LEVEL = ['--offload', 'gso'];
const WITHOUT_WEFT = [...COMMANDS.keys()].map((name) => [name, '--help']);

t.test('the help and the version of weft are those of the golden files', async (t) => {
  for (const args of [['--version'], ['--help'], ...WITHOUT_WEFT]) {
    const finished = await run(...args);
    golden(t, args.join('').replace('--', args.length > 1 ? '-' : ''), transcript(args, finished));
  }
});

t.test('the output of each command on three nodes is that of the golden files', async (t) => {
  const lab = await makeBed(t, { name: 'golden', nodes: 3, podsPerNode: 0 });
  const [node, answering, silent] = [lab.node(1), lab.node(2), lab.node(3)];
  await ipBatch(silent.netns, [`address add ${UNKNOWN_SOURCE.address}/24 dev eth0`]);
  const stranger = await HandmadePeer.start(silent, node);
  await startWeft(t, answering, { flags: LEVEL });
  await sysctl(node.netns, { 'net/ipv4/ip_forward': 0 });
  const weft = await startWeft(t, node, { flags: LEVEL });
  const { runDir } = weft;
  // On a busy machine a thread may answer late, and the outputs say so.
  const finished = (args: readonly string[]) =>
    until(
      `weft ${args[0]} without a late thread`,
      async () => {
        const end = await runCommand(node, args, {}, 30_000);
        return !/does not answer\b/.test(end.stdout) && end;
      },
      { timeoutMs: 20_000 },
    );
  const compare = async (name: string, args: readonly string[]) =>
    golden(t, name, transcript(args, await finished(args)));

  await until('the obstacle', async () => (await statusOf(weft)).obstacles.length > 0);
  t.equal((await ping(node.netns, '10.244.2.0', { wait: 10 })).received, 3);
  await ping(node.netns, '10.244.3.0', { count: 1, wait: 1 });
  await stranger.send(request({ sourceMac: STRANGE_MAC }), { from: UNKNOWN_SOURCE });
  await until('the drop', async () => (await statusOf(weft)).counters.rx_drop_unknown_vtep === 1);

  await compare('status', ['status', '--run-dir', runDir]);
  await compare('status-all', ['status', '--all', '--run-dir', runDir]);
  const { stdout, ...json } = await finished(['status', '--json', '--run-dir', runDir]);
  golden(
    t,
    'status-json',
    transcript(['status', '--json', '--run-dir', runDir], { ...json, stdout: maskedJson(stdout) }),
  );
  await compare('top', ['top', '--interval', '0.2', '--run-dir', runDir]);
  await compare('doctor', ['doctor', '--run-dir', runDir]);
  await compare('doctor-peers', ['doctor', '--peers', '--run-dir', runDir]);

  const capture = ['capture', '--text', '--count', '4', '--peer', answering.address, '--run-dir', runDir];
  const capturing = startCommand(t, node, capture);
  await capturing.waitFor(/end it with Ctrl-C/);
  await ping(node.netns, '10.244.2.0', { count: 1, wait: 10 });
  const exit = await capturing.exited;
  golden(t, 'capture', transcript(capture, { ...exit, stdout: capturing.stdout, stderr: capturing.stderr }));

  // The new process logs to the stderr of the command, which ends with it: a file takes the log.
  const reload = ['reload', ...runFlags(weft, node.iface, ...LEVEL).slice(1)];
  const log = `${node.dir}/reload.log`;
  const { code, stdout: printed } = await runCommand(
    node,
    reload,
    { under: ['sh', '-c', `exec "$@" 2>${log}`, 'sh'] },
    60_000,
  );
  // What follows is the log of the running node.
  const [stderr = ''] = /^[^]*\] ready: .*\n/.exec(await readFile(log, 'utf8')) ?? [];
  golden(t, 'reload', transcript(reload, { stdout: printed, stderr, code }));
  await compare('cleanup', ['cleanup', '--run-dir', runDir]);
  await compare('cleanup-again', ['cleanup', '--run-dir', runDir]);
  await compare('status-stopped', ['status', '--run-dir', runDir]);
});

t.test('every golden file belongs to a command of the tests above', async (t) => {
  t.same(readdirSync(GOLDEN.folder).sort(), [...GOLDEN.names].sort());
});
