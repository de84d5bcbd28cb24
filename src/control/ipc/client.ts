/** The other end of the control socket. */

import { createConnection } from 'node:net';
import { UserError } from '../support/user-error.js';
import { type ControlRequest, type ControlResponse, socketPath } from './protocol.js';

/** How long a running weft may take to answer; leaving takes it less than a second. */
const ANSWER_MS = 10_000;

/** Nobody listens: no weft runs with this run directory. */
export class NotRunning extends UserError {}

/** Sends one request to the weft of `runDir`. @throws NotRunning when there is none; UserError when it refuses */
export function ask(runDir: string, request: ControlRequest): Promise<unknown> {
  const path = socketPath(runDir);
  return new Promise((resolve, reject) => {
    const socket = createConnection({ path, allowHalfOpen: true });
    let text = '';
    socket.setEncoding('utf8');
    socket.setTimeout(ANSWER_MS, () => {
      socket.destroy(new Error(`weft does not answer; is it stopped (SIGSTOP) or the machine overloaded?`));
    });
    socket.on('error', (error: NodeJS.ErrnoException) => reject(connectError(runDir, path, error)));
    socket.on('data', (chunk: string) => {
      text += chunk;
    });
    socket.on('end', () => {
      try {
        const response = JSON.parse(text) as ControlResponse;
        if (response.ok) resolve(response.result);
        else reject(new UserError(response.error));
      } catch {
        reject(new UserError(`${path}: weft went away before it answered; try again`));
      }
    });
    socket.end(JSON.stringify(request));
  });
}

/** The process id of the weft that answers on `runDir`, if one does. */
export async function runningPid(runDir: string): Promise<number | undefined> {
  const status = (await ask(runDir, { command: 'status' }).catch(() => undefined)) as
    | { pid: number }
    | undefined;
  return status?.pid;
}

function connectError(runDir: string, path: string, error: NodeJS.ErrnoException): Error {
  if (error.code === 'ENOENT' || error.code === 'ECONNREFUSED') {
    return new NotRunning(
      `--run-dir ${runDir}: no weft runs with it (nobody listens on ${path}); start it with weft run, or name another directory`,
    );
  }
  if (error.code === 'EACCES') return new UserError(`${path}: permission denied; run as root`);
  return new UserError(`${path}: ${error.message}`);
}
