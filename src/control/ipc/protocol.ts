/** The requests of `weft status` and `weft cleanup` to a running Weft process: one JSON line each way over a Unix socket. */

import { join } from 'node:path';

export type ControlRequest = { command: 'status' } | { command: 'leave' };

export type ControlResponse = { ok: true; result: unknown } | { ok: false; error: string };

export function socketPath(runDir: string): string {
  return join(runDir, 'weft.sock');
}
