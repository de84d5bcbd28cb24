/**
 * Reads the files that flags, other files or an earlier run name. Anything may be at such a path: a FIFO, a device, a
 * directory or a huge file. Files of the kernel (/proc, /sys) and of Weft's package are read directly.
 */

import { constants, type Stats } from 'node:fs';
import { type FileHandle, open, stat } from 'node:fs/promises';

/** The limit for files with an entry per node: leases and journal. 30 000 leases have about 9 MiB. */
export const LARGE_FILE = 16 << 20;
/** The limit for all others: configuration, certificates, tokens. */
export const SMALL_FILE = 1 << 20;

/** O_NONBLOCK: neither the opening of a FIFO nor the reading of a kernel log waits. */
const FLAGS = constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOCTTY;

const MIN_CHUNK = 64 << 10;

/** A file that cannot be read. The message has the reason and the remedy, without the path. */
export class UnreadableFile extends Error {
  /** Code of the system call's error; undefined for a file of another type or size. */
  readonly code: string | undefined;

  constructor(message: string, code?: string) {
    super(message);
    this.name = 'UnreadableFile';
    this.code = code;
  }

  /** Whether there is no file at the path. */
  get isMissing(): boolean {
    return this.code === 'ENOENT';
  }
}

/** Reasons and remedies by error code. */
const REASONS: Readonly<Record<string, string>> = {
  ENOENT: 'no such file; create it or name another file',
  EACCES: 'permission denied; make it readable by this user',
  EISDIR: 'this is a directory; name a file',
  ELOOP: 'its symbolic links form a loop; correct them',
  EAGAIN: 'it has no content to read at once; name a regular file',
  ERR_INVALID_ARG_VALUE: 'a path has no NUL character; correct it',
};

/**
 * Returns the text of a regular file, also behind symbolic links. It never waits for a writer, and reads at most `limit`
 * bytes. @throws UnreadableFile
 */
export async function readTextFile(path: string, limit = SMALL_FILE): Promise<string> {
  try {
    // Before it is opened: opening a device may have an effect.
    refuse(await stat(path), limit);
    const file = await open(path, FLAGS);
    try {
      return await readAll(file, limit);
    } finally {
      await file.close();
    }
  } catch (error) {
    if (error instanceof UnreadableFile) throw error;
    const { code = '', message } = error as NodeJS.ErrnoException;
    throw new UnreadableFile(REASONS[code] ?? message, code);
  }
}

async function readAll(file: FileHandle, limit: number): Promise<string> {
  const stats = await file.stat();
  refuse(stats, limit);
  const chunks: Buffer[] = [];
  let total = 0;
  for (;;) {
    // One byte more than expected, so that the end of the file is found without another chunk.
    const size = Math.min(Math.max(stats.size - total + 1, MIN_CHUNK), limit + 1 - total);
    const { bytesRead, buffer } = await file.read(Buffer.allocUnsafe(size), 0, size, null);
    if (bytesRead === 0) return Buffer.concat(chunks, total).toString('utf8');
    chunks.push(buffer.subarray(0, bytesRead));
    total += bytesRead;
    if (total > limit) throw tooLarge(limit);
  }
}

/** @throws UnreadableFile unless it is a regular file within the limit */
function refuse(stats: Stats, limit: number): void {
  if (!stats.isFile()) throw new UnreadableFile(`this is a ${kindOf(stats)}; name a file`);
  if (stats.size > limit) throw tooLarge(limit);
}

function tooLarge(limit: number): UnreadableFile {
  return new UnreadableFile(
    `the file is larger than ${limit >> 20} MiB; name the right file, or make it smaller`,
  );
}

function kindOf(stats: Stats): string {
  if (stats.isDirectory()) return 'directory';
  if (stats.isFIFO()) return 'FIFO';
  if (stats.isSocket()) return 'socket';
  return 'device';
}
