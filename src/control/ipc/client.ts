/** The client of the control socket. */

import { createConnection } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { weftProcesses } from '../kernel/tun-holders.js';
import { shellWord } from '../support/printable.js';
import { UserError } from '../support/user-error.js';
import { type ControlRequest, type ControlResponse, socketPath } from './protocol.js';

/** Time limit for an answer; stopping takes less than a second. */
const ANSWER_MS = 10_000;

/** Pause before another attempt while too many clients wait to be accepted. */
const RETRY_MS = 50;

/** The error for a run directory without a running Weft process. */
export class NotRunning extends UserError {}

/**
 * Sends a request to the Weft process of `runDir`, and waits `answerMs` for its answer. @throws NotRunning, or UserError
 * when it refuses
 */
export async function ask(runDir: string, request: ControlRequest, answerMs = ANSWER_MS): Promise<unknown> {
  const path = socketPath(runDir);
  const deadline = performance.now() + answerMs;
  for (;;) {
    try {
      return await askOnce(path, request, answerMs);
    } catch (error) {
      if (error instanceof UserError) throw error;
      if (!isCrowded(error) || performance.now() > deadline)
        throw connectError(runDir, path, error as NodeJS.ErrnoException);
      await delay(RETRY_MS);
    }
  }
}

/** @throws UserError when Weft refuses, or the error of the socket */
function askOnce(path: string, request: ControlRequest, answerMs: number): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const socket = createConnection({ path, allowHalfOpen: true });
    let text = '';
    socket.setEncoding('utf8');
    socket.setTimeout(answerMs, () => {
      socket.destroy(
        new Error(
          `Weft does not answer within ${answerMs / 1000} s; check whether it is stopped (SIGSTOP) or the machine is overloaded`,
        ),
      );
    });
    socket.on('error', reject);
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

/**
 * Returns the Weft process that listens on `runDir`; undefined if none does. Its ID is unknown if it does not answer: it
 * is starting, stopped by a signal, or overloaded.
 */
export async function listeningOn(runDir: string): Promise<{ pid?: number } | undefined> {
  const refusal = await connected(socketPath(runDir));
  if (refusal !== undefined && !isCrowded(refusal)) return undefined;
  const { pid } = (await ask(runDir, { command: 'status' }).catch(() => ({}))) as { pid?: number };
  return pid === undefined ? {} : { pid };
}

/** Connects to the socket, and returns the error; undefined if a process accepts the connection. */
function connected(path: string): Promise<NodeJS.ErrnoException | undefined> {
  return new Promise((resolve) => {
    const socket = createConnection(path, () => {
      socket.destroy();
      resolve(undefined);
    }).on('error', resolve);
  });
}

/** Returns whether this user may not connect to the socket of `runDir`, so that it is not known whether Weft runs. */
export async function isForbidden(runDir: string): Promise<boolean> {
  return (await connected(socketPath(runDir)))?.code === 'EACCES';
}

/** Returns whether a connection failed because the queue of the listening socket is full: unix(7), EAGAIN. */
function isCrowded(error: unknown): boolean {
  return (error as NodeJS.ErrnoException).code === 'EAGAIN';
}

export function connectError(runDir: string, path: string, error: NodeJS.ErrnoException): Error {
  if (['ENOENT', 'ENOTDIR', 'ECONNREFUSED'].includes(error.code ?? '')) {
    const [other] = weftProcesses();
    const remedy =
      other === undefined
        ? 'start it with weft run, or name another directory'
        : `another one runs here (pid ${other.pid}): use --run-dir ${shellWord(other.runDir)}`;
    return new NotRunning(
      `--run-dir ${runDir}: Weft is not running there (nothing listens on ${path}); ${remedy}`,
    );
  }
  if (error.code === 'EACCES') return new UserError(`${path}: permission denied; run this command as root`);
  return new UserError(`${path}: ${error.message}`);
}
