/** The control socket in the run directory: mode 0600, for root alone, as every change it allows needs root anyway. */

import { mkdir, rm } from 'node:fs/promises';
import { createServer, type Server, type Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { UserError } from '../support/user-error.js';
import { runningPid } from './client.js';
import { type ControlRequest, type ControlResponse, socketPath } from './protocol.js';

export type Handler = (request: ControlRequest) => Promise<unknown>;

/** A request is a few bytes; whoever sends more than this is not a weft. */
const MAX_REQUEST = 4096;
/** How long answers under way may hold up closing. */
const LAST_ANSWERS_MS = 200;

/** @throws UserError when another weft answers on this run directory */
export async function refuseRunning(runDir: string): Promise<void> {
  const pid = await runningPid(runDir);
  if (pid === undefined) return;
  throw new UserError(
    `--run-dir ${runDir}: another weft (pid ${pid}) runs with it; stop that one, or give this one its own directory`,
  );
}

export class ControlServer {
  private readonly path: string;
  private readonly handler: Handler;
  private readonly server: Server;
  private readonly connections = new Set<Socket>();
  private readonly answers = new Set<Promise<void>>();

  private constructor(path: string, handler: Handler) {
    this.path = path;
    this.handler = handler;
    this.server = createServer({ allowHalfOpen: true }, (socket) => this.serve(socket));
  }

  /** Listens in `runDir`, which is made when it is not there. @throws UserError */
  static async listen(runDir: string, handler: Handler): Promise<ControlServer> {
    const path = socketPath(runDir);
    const control = new ControlServer(path, handler);
    try {
      await mkdir(runDir, { recursive: true, mode: 0o755 });
      await rm(path, { force: true });
      await new Promise<void>((resolve, reject) => {
        control.server.once('error', reject);
        // The socket is bound inside `listen`: it never exists with another mode.
        const umask = process.umask(0o177);
        control.server.listen(path, resolve);
        process.umask(umask);
      });
    } catch (error) {
      throw new UserError(
        `--run-dir ${runDir}: no control socket can be made there: ${(error as Error).message}`,
      );
    }
    return control;
  }

  /** Lets answers under way go out, then closes and removes the socket. */
  async close(): Promise<void> {
    const closed = new Promise((resolve) => this.server.close(resolve));
    await Promise.race([Promise.allSettled(this.answers), delay(LAST_ANSWERS_MS, undefined, { ref: false })]);
    for (const socket of this.connections) socket.destroy();
    await closed;
    await rm(this.path, { force: true });
  }

  private serve(socket: Socket): void {
    this.connections.add(socket);
    let text = '';
    socket.setEncoding('utf8');
    socket.on('close', () => this.connections.delete(socket));
    socket.on('error', () => socket.destroy());
    socket.on('data', (chunk: string) => {
      text += chunk;
      if (text.length > MAX_REQUEST) socket.destroy();
    });
    socket.on('end', () => {
      const answered = this.answer(text).then(
        (response) =>
          new Promise<void>((resolve) => {
            socket.once('close', resolve);
            socket.end(`${JSON.stringify(response)}\n`, resolve);
          }),
      );
      this.answers.add(answered);
      void answered.finally(() => this.answers.delete(answered));
    });
  }

  private async answer(text: string): Promise<ControlResponse> {
    try {
      return { ok: true, result: await this.handler(JSON.parse(text) as ControlRequest) };
    } catch (error) {
      return { ok: false, error: (error as Error).message };
    }
  }
}
