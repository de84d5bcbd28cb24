/** The client of the control socket. */

import { createConnection } from 'node:net';
import type { Status } from '../node/status.js';
import { UserError } from '../support/user-error.js';
import { type ControlRequest, type ControlResponse, socketPath } from './protocol.js';

/** Time limit for an answer; stopping takes less than a second. */
const ANSWER_MS = 10_000;

/** The error for a run directory without a running Weft process. */
export class NotRunning extends UserError {}

/** Sends a request to the Weft process of `runDir`. @throws NotRunning, or UserError when it refuses */
export function ask(runDir: string, request: ControlRequest): Promise<unknown> {
  const path = socketPath(runDir);
  return new Promise((resolve, reject) => {
    const socket = createConnection({ path, allowHalfOpen: true });
    let text = '';
    socket.setEncoding('utf8');
    socket.setTimeout(ANSWER_MS, () => {
      socket.destroy(
        new Error(
          `Weft does not answer within ${ANSWER_MS / 1000} s; check whether it is stopped (SIGSTOP) or the machine is overloaded`,
        ),
      );
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
        reject(new UserError(`${path}: Weft exited before it answered; try again`));
      }
    });
    socket.end(JSON.stringify(request));
  });
}

/** Returns the status of the Weft process that answers on `runDir`; undefined if none does. */
export async function runningStatus(runDir: string): Promise<Status | undefined> {
  return (await ask(runDir, { command: 'status' }).catch(() => undefined)) as Status | undefined;
}

/** Returns the process ID of that process. */
export async function runningPid(runDir: string): Promise<number | undefined> {
  return (await runningStatus(runDir))?.pid;
}

function connectError(runDir: string, path: string, error: NodeJS.ErrnoException): Error {
  if (error.code === 'ENOENT' || error.code === 'ECONNREFUSED') {
    return new NotRunning(
      `--run-dir ${runDir}: Weft is not running there (nothing listens on ${path}); start it with weft run, or name another directory`,
    );
  }
  if (error.code === 'EACCES') return new UserError(`${path}: permission denied; run this command as root`);
  return new UserError(`${path}: ${error.message}`);
}
