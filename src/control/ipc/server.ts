/** The server of the control socket in the run directory. The socket has mode 0600: its requests are for root only. */

import { mkdir, rm } from 'node:fs/promises';
import { createServer, type Server, type Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { UserError } from '../support/user-error.js';
import { runningPid } from './client.js';
import { type ControlRequest, type ControlResponse, socketPath } from './protocol.js';

export type Handler = (request: ControlRequest) => Promise<unknown>;

/** The server closes a connection that sends more characters than this; a request has a few. */
const MAX_REQUEST = 4096;
/** How long `close` waits for pending answers. */
const LAST_ANSWERS_MS = 200;

/** @throws UserError when another Weft process answers on this run directory */
export async function refuseRunning(runDir: string): Promise<void> {
  const pid = await runningPid(runDir);
  if (pid === undefined) return;
  throw new UserError(
    `--run-dir ${runDir}: another Weft process (pid ${pid}) uses it; stop that process, or choose another directory`,
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

  /** Listens in `runDir`, and creates the directory if it does not exist. @throws UserError */
  static async listen(runDir: string, handler: Handler): Promise<ControlServer> {
    const path = socketPath(runDir);
    const control = new ControlServer(path, handler);
    try {
      await mkdir(runDir, { recursive: true, mode: 0o755 });
      await rm(path, { force: true });
      await new Promise<void>((resolve, reject) => {
        control.server.once('error', reject);
        // `listen` binds the socket synchronously, so the socket never has another mode.
        const umask = process.umask(0o177);
        control.server.listen(path, resolve);
        process.umask(umask);
      });
    } catch (error) {
      throw new UserError(
        `--run-dir ${runDir}: cannot create the control socket there: ${(error as Error).message}`,
      );
    }
    return control;
  }

  /** Waits for pending answers, then closes and removes the socket. */
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
