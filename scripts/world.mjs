// The private world: runs a node script in namespaces of its own, so that the host keeps nothing of it.
//
//     npm ── node scripts/demo.mjs ── unshare ── sh (pid 1) ── node the-script ── ip, iperf3, weft …
//            this file                └───── own net, mount and pid namespaces, tmpfs on /run ─────┘
//
// However the wrapper ends, pid 1 inside dies with it. The kernel then removes every process, network namespace, device,
// mount and file under /run. The links of that chain:
//   - a signal to the wrapper: it kills unshare and waits until the namespace is empty;
//   - SIGKILL of the wrapper: PDEATHSIG (setpriv) kills unshare, whose own --kill-child kills pid 1;
//   - SIGKILL of npm above the wrapper: the wrapper watches its ancestors.
//
// Use: node scripts/world.mjs script.js [arguments]

import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { pathToFileURL } from 'node:url';
import { isEnding, onEnd, statOf } from './ending.mjs';
import { main, SetupError } from './run.mjs';

const [SETPRIV, ...UNSHARE] =
  'setpriv --pdeathsig KILL unshare --net --mount --pid --fork --kill-child --mount-proc'.split(' ');

/** What pid 1 runs: it mounts its own /run, then starts the script (a shell as pid 1 reaps orphans, node does not). */
const INIT = `set -e
mount -t tmpfs -o mode=0755 tmpfs /run
mkdir -p /run/netns /run/lock /run/weft-lab/tmp
ip link set lo up
code=0
"$@" || code=$?
exit $code`;

/** Time that pid 1 has to appear under unshare before unshare itself is killed. */
const INIT_APPEARS_MS = 500;

/**
 * Runs a node script inside a private world and returns its exit code.
 * A signal to this process, or the death of npm above it, ends the world; then this process exits with 128 + signal.
 * @param {string} script path of the script
 * @param {string[]} [args] its arguments
 * @param {NodeJS.ProcessEnv} [env] variables added to the environment
 * @returns {Promise<number>}
 */
export function runInWorld(script, args = [], env = {}) {
  const child = spawn(
    SETPRIV,
    [...UNSHARE, '/bin/sh', '-c', INIT, 'weft-world', process.execPath, script, ...args],
    {
      // A session of its own: Ctrl-C reaches the wrapper alone, which then ends the world in order.
      detached: true,
      stdio: ['ignore', 'inherit', 'inherit'],
      env: { ...process.env, ...env, WEFT_WORLD: '1', TMPDIR: '/run/weft-lab/tmp' },
    },
  );
  const ended = new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('exit', (code, signal) => resolve(code ?? (signal === null ? 1 : 137)));
  });
  const release = onEnd(async () => {
    await killWorld(child);
    await ended.catch(() => undefined);
  });
  return ended.then((code) => {
    release();
    // During an interruption the clean-up ends this process, with its own exit code.
    return isEnding() ? new Promise(() => undefined) : code;
  });
}

/**
 * Kills unshare, and with it pid 1 and everything inside; returns once the kernel has emptied the namespace. (Killing
 * pid 1 itself would do too, but unshare of util-linux 2.38 then prints an error.)
 */
async function killWorld(unshare) {
  const deadline = Date.now() + INIT_APPEARS_MS;
  const running = () => unshare.exitCode === null && unshare.signalCode === null;
  while (running() && childOf(unshare.pid) === undefined && Date.now() < deadline) await tick();
  const init = childOf(unshare.pid);
  const identity = init === undefined ? undefined : statOf(init)?.started;
  if (running()) unshare.kill('SIGKILL');
  if (identity !== undefined) while (statOf(init)?.started === identity) await tick();
}

function tick() {
  return new Promise((resolve) => setTimeout(resolve, 5));
}

function childOf(pid) {
  try {
    const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim();
    return children === '' ? undefined : Number(children.split(' ')[0]);
  } catch {
    return undefined;
  }
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  await main(() => {
    const [script, ...args] = process.argv.slice(2);
    if (script === undefined) throw new SetupError('use: node scripts/world.mjs script.js [arguments]');
    return runInWorld(script, args);
  });
}
