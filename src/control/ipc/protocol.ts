/**
 * The requests of `weft status`, `weft doctor`, `weft cleanup` and `weft run --takeover` to a running Weft process: one
 * JSON line each way over a Unix socket.
 */

import { join } from 'node:path';

/** `check`: runs the obstacle checks first. An older Weft ignores it and answers with its last results. */
export type ControlRequest =
  | { command: 'status'; check?: true }
  /** What `weft doctor` needs to know of the running Weft. The obstacle checks run first. */
  | { command: 'examine' }
  | { command: 'leave' }
  /**
   * Sends the dataplanes to the Unix socket at `path`, which a new Weft process has opened. `id` names this takeover; only
   * the latest one counts.
   */
  | { command: 'hand-over'; path: string; id: string }
  /** Ends this process after a handover; `pid` is that of the new one. */
  | { command: 'retire'; pid: number; id: string }
  /** The new process has failed. */
  | { command: 'resume'; id: string };

export type ControlResponse = { ok: true; result: unknown } | { ok: false; error: string };

export function socketPath(runDir: string): string {
  return join(runDir, 'weft.sock');
}
