/**
 * `weft reload`: starts `weft run --takeover` with the same flags in the background and waits until it is ready. A service
 * manager waits for its reload command, which must end (systemd.service(5), ExecReload=).
 */

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as delay } from 'node:timers/promises';
import { ask } from '../control/ipc/client.js';
import { STARTING, type Status } from '../control/node/status.js';
import { UserError } from '../control/support/user-error.js';

/** Time for the new process: it may wait for the source of its leases, and the old one forwards meanwhile. */
const READY_MS = 60_000;
const POLL_MS = 50;

/** Replaces the Weft of this run directory. @throws UserError; then the old one goes on */
export async function reload(runDir: string): Promise<void> {
  await ask(runDir, { command: 'status' });
  const [node, script = '', , ...flags] = process.argv;
  const next = spawn(node as string, [...process.execArgv, script, 'run', '--takeover', ...flags], {
    // In a session of its own it outlives the terminal.
    detached: true,
    stdio: ['ignore', 'inherit', 'inherit'],
  });
  const ended = once(next, 'exit');
  ended.catch(() => {});
  if ((await Promise.race([ended, untilReady(runDir, next)])) !== 'ready') {
    const how = next.signalCode ?? `exit code ${next.exitCode}`;
    throw new UserError(
      `the new Weft ended (${how}; its log has the reason); a Weft that ran before goes on: check weft status`,
    );
  }
  next.unref();
}

/** Returns once this process answers in the run directory and is set up. @throws UserError if it does not in time */
async function untilReady(runDir: string, { pid }: ChildProcess): Promise<'ready'> {
  const deadline = performance.now() + READY_MS;
  for (;;) {
    const status = (await ask(runDir, { command: 'status' }).catch(() => ({}))) as Partial<Status>;
    if (status.pid === pid && status.device !== undefined && status.notReady !== STARTING) return 'ready';
    if (performance.now() > deadline) {
      if (pid !== undefined) process.kill(pid, 'SIGTERM');
      throw new UserError(
        `the new Weft (pid ${pid}) was not ready within ${READY_MS / 1000} s and was stopped; its log has the reason`,
      );
    }
    await delay(POLL_MS);
  }
}
