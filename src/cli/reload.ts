/**
 * `weft reload`: starts `weft run --takeover` with the same flags in the background and waits until it is ready. A service
 * manager waits for its reload command, which must end (systemd.service(5), ExecReload=).
 */

import { spawn } from 'node:child_process';
import { setTimeout as delay } from 'node:timers/promises';
import { ask } from '../control/ipc/client.js';
import { STARTING, type Status } from '../control/node/status.js';
import { UserError } from '../control/support/user-error.js';

/**
 * Time for the new process to take the place of the old one, which forwards meanwhile: it may wait for the source of its
 * leases. From then on the new process alone forwards, however long the rest takes.
 */
const TAKEN_MS = 60_000;
const POLL_MS = 50;

/** Replaces the Weft of this run directory. @throws UserError; then the old one goes on, unless it has ended meanwhile */
export async function reload(runDir: string): Promise<void> {
  await ask(runDir, { command: 'status' });
  const [node = '', script = '', , ...flags] = process.argv;
  const next = spawn(node, [...process.execArgv, script, 'run', '--takeover', ...flags], {
    // In a session of its own it outlives the terminal.
    detached: true,
    // It logs to stderr only. A pipe that it held open would keep its reader waiting.
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  const deadline = performance.now() + TAKEN_MS;
  for (;;) {
    const progress = await progressOf(runDir, next.pid);
    if (progress === 'ready') break;
    if (next.exitCode !== null || next.signalCode !== null) {
      const how = next.signalCode ?? `exit code ${next.exitCode}`;
      throw new UserError(
        `the new Weft ended (${how}); its log has the reason; see weft status for the old one`,
      );
    }
    if (progress === 'waiting' && performance.now() > deadline) {
      next.kill();
      throw new UserError(
        `the new Weft (pid ${next.pid}) did not take over within ${TAKEN_MS / 1000} s and was stopped; its log has the reason; see weft status for the old one`,
      );
    }
    await delay(POLL_MS);
  }
  next.unref();
}

/** Returns whether this process answers in the run directory (`taken`), and whether its node is set up too (`ready`). */
async function progressOf(runDir: string, pid: number | undefined): Promise<'waiting' | 'taken' | 'ready'> {
  const status = (await ask(runDir, { command: 'status' }).catch(() => ({}))) as Partial<Status>;
  if (status.pid !== pid) return 'waiting';
  return status.device !== undefined && status.notReady !== STARTING ? 'ready' : 'taken';
}
