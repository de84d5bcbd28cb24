/** The server of the control socket in the run directory. The socket has mode 0600: its requests are for root only. */

import { statSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { createServer, type Server, type Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { ConnectionLimit } from '../support/connection-limit.js';
import { warn } from '../support/log.js';
import { makeDirectory } from '../support/make-directory.js';
import { ownerOnly } from '../support/owner-only.js';
import { Shared } from '../support/shared.js';
import { UserError } from '../support/user-error.js';
import { type CaptureRequest, type ControlRequest, type ControlResponse, socketPath } from './protocol.js';
import { refuseRunning } from './running.js';

export type Handler = (request: ControlRequest) => Promise<unknown>;

/** Answers a capture on its connection, which it owns from now on. Rejects with the reason to refuse it. */
export type CaptureHandler = (request: CaptureRequest, socket: Socket) => Promise<unknown>;

/** The server closes a connection that sends more characters than this; a request has a few. */
const MAX_REQUEST = 4096;
/** A client sends its request at once: connections beyond this number and time are closed, the oldest first. */
const MAX_WITHOUT_REQUEST = 64;
const REQUEST_MS = 2000;
/** Most connections in all. A client beyond it waits for an answer longer than a thousand others. */
const MAX_CONNECTIONS = 1024;
/** Connections that wait to be accepted; the kernel limits it to net.core.somaxconn, 4096 since 5.4. */
const BACKLOG = 4096;
/** A client that reads nothing for so long loses its connection, and a slow one after ANSWER_MS. */
const STALLED_MS = 1000;
const ANSWER_MS = 10_000;
/** How long `close` waits for pending answers. */
const LAST_ANSWERS_MS = 200;

export class ControlServer {
  readonly path: string;
  private readonly runDir: string;
  private readonly handler: Handler;
  private readonly onCapture: CaptureHandler | undefined;
  private server: Server;
  /** The socket's inode: another one at this path belongs to another process. */
  private inode: bigint | undefined;
  private readonly connections = new Set<Socket>();
  private readonly limit = new ConnectionLimit(MAX_CONNECTIONS);
  private readonly withoutRequest = new ConnectionLimit(MAX_WITHOUT_REQUEST);
  private readonly answers = new Set<Promise<void>>();
  /** By the text of the request: concurrent clients share one answer. */
  private readonly shared = new Map<string, Shared<Buffer>>();

  private constructor(runDir: string, handler: Handler, onCapture?: CaptureHandler) {
    this.runDir = runDir;
    this.path = socketPath(runDir);
    this.handler = handler;
    this.onCapture = onCapture;
    this.server = this.createServer();
  }

  /**
   * Listens in `runDir`, and creates the directory if it does not exist. @throws UserError, also if another Weft process
   * listens there. A successor has ended that process, and another one that wanted to take over may not have ended yet.
   */
  static async listen(
    runDir: string,
    handler: Handler,
    role?: 'successor',
    onCapture?: CaptureHandler,
  ): Promise<ControlServer> {
    if (role === undefined) await refuseRunning(runDir);
    const control = new ControlServer(runDir, handler, onCapture);
    try {
      await control.open();
    } catch (error) {
      throw new UserError(
        `--run-dir ${runDir}: cannot create the control socket there: ${(error as Error).message}`,
      );
    }
    return control;
  }

  isIntact(): boolean {
    return this.inode !== undefined && inodeOf(this.path) === this.inode;
  }

  /** Listens again after another program removed or replaced the socket. @throws UserError if another Weft has it */
  async restore(): Promise<void> {
    await refuseRunning(this.runDir);
    // It removes whatever is at the path, so it comes before the new socket.
    this.server.close();
    this.server = this.createServer();
    await this.open();
  }

  /** Removes the socket at once, then waits for pending answers. A successor may listen there meanwhile. */
  async close(): Promise<void> {
    // libuv unlinks the path here (uv__pipe_close).
    const closed = new Promise((resolve) => this.server.close(resolve));
    await Promise.race([Promise.allSettled(this.answers), delay(LAST_ANSWERS_MS, undefined, { ref: false })]);
    for (const socket of this.connections) socket.destroy();
    await closed;
  }

  private createServer(): Server {
    return createServer({ allowHalfOpen: true }, (socket) => this.serve(socket));
  }

  /** Creates the run directory and the socket, in place of a stale one. @throws the error of the system call */
  private async open(): Promise<void> {
    const { path, server } = this;
    this.inode = undefined;
    await makeDirectory(this.runDir);
    await rm(path, { force: true });
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      // `listen` binds the socket synchronously, so the socket never has another mode.
      ownerOnly(() => server.listen(path, BACKLOG, resolve));
    });
    // An error of `accept`, such as EMFILE, concerns one connection.
    server.removeAllListeners('error').on('error', (error) => warn(`${path}: ${error.message}`));
    this.inode = inodeOf(path);
  }

  private serve(socket: Socket): void {
    this.connections.add(socket);
    this.limit.add(socket);
    this.withoutRequest.add(socket);
    let text = '';
    const timer = setTimeout(() => {
      // After a wait for the processor the request may have arrived, unread: setImmediate runs after the next poll.
      setImmediate(() => {
        if (!socket.readableEnded) socket.destroy();
      });
    }, REQUEST_MS);
    socket.setEncoding('utf8');
    socket.on('close', () => {
      clearTimeout(timer);
      this.connections.delete(socket);
    });
    socket.on('error', () => socket.destroy());
    socket.on('data', (chunk: string) => {
      text += chunk;
      if (text.length > MAX_REQUEST) socket.destroy();
      if (this.onCapture === undefined || !isCapture(text)) return;
      // Its connection stays, and counts for no limit.
      clearTimeout(timer);
      this.limit.remove(socket);
      this.withoutRequest.remove(socket);
      socket.removeAllListeners('data').removeAllListeners('end').resume();
      void this.capture(text, socket);
    });
    socket.on('end', () => {
      clearTimeout(timer);
      this.withoutRequest.remove(socket);
      const answered = this.sharedAnswer(text).then((answer) => send(socket, answer));
      this.answers.add(answered);
      void answered.finally(() => this.answers.delete(answered));
    });
  }

  private async capture(text: string, socket: Socket): Promise<void> {
    try {
      await this.onCapture?.(JSON.parse(text) as CaptureRequest, socket);
    } catch (error) {
      await send(socket, Buffer.from(`${JSON.stringify({ ok: false, error: (error as Error).message })}\n`));
    }
  }

  private async sharedAnswer(text: string): Promise<Buffer> {
    const shared = this.shared.get(text) ?? new Shared(() => this.answer(text));
    this.shared.set(text, shared);
    const answer = await shared.get();
    if (!shared.isBusy) this.shared.delete(text);
    return answer;
  }

  private async answer(text: string): Promise<Buffer> {
    let response: ControlResponse;
    try {
      response = { ok: true, result: await this.handler(JSON.parse(text) as ControlRequest) };
    } catch (error) {
      response = { ok: false, error: (error as Error).message };
    }
    return Buffer.from(`${JSON.stringify(response)}\n`);
  }
}

/** Returns whether the text is the whole request of a capture: its client does not close its side. */
function isCapture(text: string): boolean {
  return text.startsWith('{"command":"capture"') && text.endsWith('\n');
}

/** Sends the answer and closes the connection. Resolves once the kernel has all of it, or the client is too slow. */
function send(socket: Socket, answer: Buffer): Promise<void> {
  return new Promise((resolve) => {
    const close = (): void => {
      clearTimeout(timer);
      socket.destroy();
      resolve();
    };
    const timer = setTimeout(close, ANSWER_MS);
    socket.setTimeout(STALLED_MS, close);
    socket.once('close', close);
    socket.end(answer, close);
  });
}

/** Returns the inode of a socket; undefined for a missing file or a file of another type. */
function inodeOf(path: string): bigint | undefined {
  try {
    const stats = statSync(path, { bigint: true });
    return stats.isSocket() ? stats.ino : undefined;
  } catch {
    return undefined;
  }
}
