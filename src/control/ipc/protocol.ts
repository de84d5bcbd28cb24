/** What `weft status` and `weft cleanup` say to a running weft: one JSON line each way over a unix socket. */

import { join } from 'node:path';

export type ControlRequest = { command: 'status' } | { command: 'leave' };

export type ControlResponse = { ok: true; result: unknown } | { ok: false; error: string };

export function socketPath(runDir: string): string {
  return join(runDir, 'weft.sock');
}
