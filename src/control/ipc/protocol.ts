/**
 * The requests of `weft status`, `weft doctor` and `weft cleanup` to a running Weft process: one JSON line each way over a
 * Unix socket.
 */

import { join } from 'node:path';

/** `check`: runs the obstacle checks first. An older Weft ignores it and answers with its last results. */
export type ControlRequest = { command: 'status'; check?: true } | { command: 'leave' };

export type ControlResponse = { ok: true; result: unknown } | { ok: false; error: string };

export function socketPath(runDir: string): string {
  return join(runDir, 'weft.sock');
}
