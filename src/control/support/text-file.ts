/** A text file that Weft owns: written atomically, and compared with what Weft wrote. */

import type { BigIntStats } from 'node:fs';
import { lstat, open, rename, rm, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { makeDirectory } from './make-directory.js';
import { LARGE_FILE, readTextFile } from './read-file.js';
import { Serial } from './serial.js';

export class TextFile {
  readonly path: string;
  private readonly mode: number;
  private readonly writes = new Serial();
  /** The desired text; undefined before the first write. */
  private text: string | undefined;
  /** Whether that text was never written completely. */
  isUnwritten = false;
  /** The state in which the file was last seen with that text. */
  private seen: BigIntStats | undefined;

  /** `mode` holds under any umask. `text` is what an existing file should keep. */
  constructor(path: string, mode: number, text?: string) {
    this.path = path;
    this.mode = mode;
    this.text = text;
  }

  /** Writes the file and its directories: a reader sees the old or the new text. @throws the error of the system call */
  write(text: string): Promise<void> {
    this.text = text;
    this.isUnwritten = true;
    // The file may still have the text before.
    this.seen = undefined;
    return this.restore();
  }

  /** Returns whether the file has the text that was written last. Takes one `stat` if nothing touched the file. */
  async isIntact(): Promise<boolean> {
    if (this.text === undefined) return true;
    try {
      const stats = await stat(this.path, { bigint: true });
      if (isSame(stats, this.seen)) return true;
      if ((await readTextFile(this.path, LARGE_FILE)) !== this.text) return false;
      this.seen = stats;
      return true;
    } catch {
      return false;
    }
  }

  /** Writes the last text again. @throws the error of the system call */
  restore(): Promise<void> {
    return this.writes.run(async () => {
      const { path, text = '' } = this;
      const temporary = `${path}.${process.pid}.tmp`;
      try {
        await makeDirectory(dirname(path));
        await refuseDevice(path);
        // Whatever has the name, such as a FIFO or a link, is replaced and not opened.
        await rm(temporary, { force: true });
        const file = await open(temporary, 'wx', this.mode);
        try {
          await file.chmod(this.mode);
          await file.writeFile(text);
          await file.sync();
        } finally {
          await file.close();
        }
        await rename(temporary, path);
        if (text === this.text) this.isUnwritten = false;
      } catch (error) {
        await rm(temporary, { force: true }).catch(() => {});
        throw error;
      }
    });
  }
}

/** The rename would replace a device, such as /dev/null. @throws Error */
async function refuseDevice(path: string): Promise<void> {
  const stats = await lstat(path).catch(() => undefined);
  if (stats?.isCharacterDevice() || stats?.isBlockDevice()) throw new Error('this is a device; name a file');
}

/** Every change of the content changes one of these; a change of mode or owner changes the time too, but not the text. */
function isSame(one: BigIntStats, other: BigIntStats | undefined): boolean {
  return (
    other !== undefined &&
    one.dev === other.dev &&
    one.ino === other.ino &&
    one.size === other.size &&
    one.ctimeNs === other.ctimeNs
  );
}
