/**
 * `weft reload`: starts `weft run --takeover` with the same flags in the background and waits until it is ready. A service
 * manager waits for its reload command, which must end (systemd.service(5), ExecReload=).
 */

import { spawn } from 'node:child_process';
import { setTimeout as delay } from 'node:timers/promises';
import { ask } from '../control/ipc/client.js';
import { STARTING, type Status } from '../control/node/status.js';
import { UserError } from '../control/support/user-error.js';

/** Time for the new process: it may wait for the source of its leases, and the old one forwards meanwhile. */
const READY_MS = 60_000;
const POLL_MS = 50;

/** Replaces the Weft of this run directory. @throws UserError; then the old one goes on, unless it has ended meanwhile */
export async function reload(runDir: string): Promise<void> {
  await ask(runDir, { command: 'status' });
  const [node = '', script = '', , ...flags] = process.argv;
  const next = spawn(node, [...process.execArgv, script, 'run', '--takeover', ...flags], {
    // In a session of its own it outlives the terminal.
    detached: true,
    stdio: ['ignore', 'inherit', 'inherit'],
  });
  const deadline = performance.now() + READY_MS;
  while (!(await isReady(runDir, next.pid))) {
    if (next.exitCode !== null || next.signalCode !== null) {
      const how = next.signalCode ?? `exit code ${next.exitCode}`;
      throw new UserError(
        `the new Weft ended (${how}); its log has the reason; see weft status for the old one`,
      );
    }
    if (performance.now() > deadline) {
      next.kill();
      throw new UserError(
        `the new Weft (pid ${next.pid}) was not ready within ${READY_MS / 1000} s and was stopped; its log has the reason; see weft status for the old one`,
      );
    }
    await delay(POLL_MS);
  }
  next.unref();
}

/** Returns whether this process answers in the run directory, and its node is set up. */
async function isReady(runDir: string, pid: number | undefined): Promise<boolean> {
  const status = (await ask(runDir, { command: 'status' }).catch(() => ({}))) as Partial<Status>;
  return status.pid === pid && status.device !== undefined && status.notReady !== STARTING;
}
