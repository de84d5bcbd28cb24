/** What may be at the path of a file besides a file with its content. */

import { symlink, truncate, writeFile } from 'node:fs/promises';
import { exec } from '../../../lab/exec.js';

export interface OddFile {
  readonly what: string;
  /** Makes it at a path where nothing is; `later` is the path to which the test moves it. */
  readonly make: (path: string, later: string) => Promise<unknown>;
  /** What the error says: a regular expression. */
  readonly line: string;
}

/** With the closing brackets less than 1 MiB. */
const LEVELS = 500_000;

export const ODD_FILES: readonly OddFile[] = [
  { what: 'a FIFO', make: (path) => exec(['mkfifo', path]), line: 'this is a FIFO; name a file' },
  { what: 'a device', make: (path) => symlink('/dev/zero', path), line: 'this is a device; name a file' },
  {
    what: '50 MB',
    make: async (path) => {
      await writeFile(path, '');
      await truncate(path, 50_000_000);
    },
    line: 'the file is larger than (16|1) MiB; ',
  },
  {
    what: 'half a million nested arrays',
    make: (path) => writeFile(path, '['.repeat(LEVELS) + ']'.repeat(LEVELS)),
    line: 'it is nested deeper than 64 levels; ',
  },
  {
    what: 'a link to itself',
    make: (path, later) => symlink(later, path),
    line: 'its symbolic links form a loop; ',
  },
];
