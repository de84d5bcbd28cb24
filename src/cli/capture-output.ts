/** Where `weft capture` writes: a file, a pipe or the terminal. */

import { once } from 'node:events';
import { createWriteStream } from 'node:fs';
import type { Writable } from 'node:stream';
import { show, UserError } from '../control/support/user-error.js';
import { hasReader } from '../sys/has-reader.js';

/** How often the output is checked for a reader. */
const READER_MS = 500;

/** The output of a capture. It takes bytes until its reader leaves, or until a write fails. */
export class CaptureOutput {
  /** Why the last write failed. */
  failure: NodeJS.ErrnoException | undefined;
  private readonly stream: Writable;
  private readonly fd: number;
  private resume = (): void => {};

  private constructor(stream: Writable, fd: number) {
    this.stream = stream;
    this.fd = fd;
    stream.on('drain', () => this.resume());
  }

  /** Opens the file, or takes the standard output. @throws UserError if the file cannot be written */
  static async open(file: unknown): Promise<CaptureOutput> {
    if (typeof file !== 'string' || file === '-') return new CaptureOutput(process.stdout, process.stdout.fd);
    const stream = createWriteStream(file);
    try {
      const [fd] = (await once(stream, 'open')) as [number];
      return new CaptureOutput(stream, fd);
    } catch (error) {
      throw new UserError(`-w ${show(file)}: ${(error as Error).message}; name a file that can be written`);
    }
  }

  /** Calls `onEnd` once nothing can be written any more. */
  watch(onEnd: () => void): void {
    const timer = setInterval(() => {
      if (hasReader(this.fd)) return;
      clearInterval(timer);
      onEnd();
    }, READER_MS);
    timer.unref();
    this.stream.on('error', (error: NodeJS.ErrnoException) => {
      clearInterval(timer);
      this.failure = error;
      this.resume();
      onEnd();
    });
  }

  /** Writes bytes, unless a write failed before, and waits until the reader takes them. */
  async write(bytes: Buffer): Promise<void> {
    if (this.failure !== undefined || this.stream.write(bytes)) return;
    await new Promise<void>((resolve) => {
      this.resume = resolve;
    });
  }

  /** Closes a file. */
  async close(): Promise<void> {
    if (this.stream === process.stdout || this.failure !== undefined) return;
    this.stream.end();
    await once(this.stream, 'close');
  }
}
