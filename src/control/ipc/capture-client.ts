/** The client's end of a capture: the answer, then frames of captured bytes, then the summary (capture/session.ts). */

import { createConnection, type Socket } from 'node:net';
import { UserError } from '../support/user-error.js';
import { connectError } from './client.js';
import {
  type CaptureRequest,
  type CaptureSummary,
  type ControlResponse,
  LAST,
  socketPath,
} from './protocol.js';

/** How long Weft may take to answer. */
const ANSWER_MS = 10_000;
const LINE_FEED = 0x0a;

export class CaptureClient {
  /** What Weft does for the capture. */
  notes: readonly string[] = [];
  private readonly socket: Socket;
  private readonly chunks: AsyncIterator<Buffer>;
  private pending: Buffer = Buffer.alloc(0);

  constructor(socket: Socket) {
    this.socket = socket;
    this.chunks = socket[Symbol.asyncIterator]() as AsyncIterator<Buffer>;
  }

  /** Asks Weft to end the capture; `next` then returns what is left. */
  stop(): void {
    if (!this.socket.destroyed) this.socket.end();
  }

  abort(): void {
    this.socket.destroy();
  }

  /** Returns the first line. @throws UserError when Weft has no answer, or the error of the socket */
  async answer(): Promise<ControlResponse> {
    const line = await this.line();
    if (line === undefined)
      throw new UserError(
        'the running Weft does not answer; check that it has the same version as this command',
      );
    return JSON.parse(line) as ControlResponse;
  }

  /** Returns the next bytes of the capture; at its end the summary, or undefined if Weft is gone. */
  async next(): Promise<Buffer | CaptureSummary | undefined> {
    if (!(await this.fill(4))) return undefined;
    const length = this.take(4).readUInt32LE();
    if (length === LAST) {
      const line = await this.line();
      return line === undefined ? undefined : (JSON.parse(line) as CaptureSummary);
    }
    return (await this.fill(length)) ? this.take(length) : undefined;
  }

  private async line(): Promise<string | undefined> {
    for (;;) {
      const end = this.pending.indexOf(LINE_FEED);
      if (end >= 0) return this.take(end + 1).toString();
      if (!(await this.fill(this.pending.length + 1))) return undefined;
    }
  }

  /** Waits for `bytes` bytes. Returns false if the connection ends before. */
  private async fill(bytes: number): Promise<boolean> {
    const chunks: Buffer[] = [this.pending];
    let length = this.pending.length;
    while (length < bytes) {
      const { value, done } = await this.chunks.next().catch(() => ({ value: undefined, done: true }));
      if (done === true || value === undefined) break;
      chunks.push(value);
      length += value.length;
    }
    if (chunks.length > 1) this.pending = Buffer.concat(chunks);
    return length >= bytes;
  }

  private take(bytes: number): Buffer {
    const taken = this.pending.subarray(0, bytes);
    this.pending = this.pending.subarray(bytes);
    return taken;
  }
}

/** Starts a capture in the Weft process of `runDir`. @throws NotRunning, or UserError when it refuses */
export async function openCapture(runDir: string, request: CaptureRequest): Promise<CaptureClient> {
  const path = socketPath(runDir);
  const socket = await new Promise<Socket>((resolve, reject) => {
    // Weft may end the capture while this side is still open.
    const connection = createConnection({ path, allowHalfOpen: true }, () => resolve(connection));
    connection.once('error', (error) => reject(connectError(runDir, path, error)));
  });
  socket.removeAllListeners('error').on('error', () => {});
  socket.setTimeout(ANSWER_MS, () => socket.destroy());
  socket.write(`${JSON.stringify(request)}\n`);
  const client = new CaptureClient(socket);
  const answer = await client.answer();
  // It may send nothing for hours: only packets cause bytes.
  socket.setTimeout(0);
  if (!answer.ok) {
    socket.destroy();
    throw new UserError(answer.error);
  }
  client.notes = (answer.result as { notes?: string[] }).notes ?? [];
  return client;
}
