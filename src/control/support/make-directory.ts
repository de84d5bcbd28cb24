/** Creates directories. Below /proc, Node's own recursive mkdir never ends. */

import { mkdir, stat } from 'node:fs/promises';
import { dirname } from 'node:path';

/**
 * Creates a directory, and those above it, unless it exists. Returns the first one that it created, undefined if there is
 * none. @throws the error of the system call
 */
export async function makeDirectory(path: string): Promise<string | undefined> {
  try {
    return await create(path);
  } catch (error) {
    const parent = dirname(path);
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT' || parent === path) throw error;
    const first = await makeDirectory(parent);
    const own = await create(path);
    return first ?? own;
  }
}

/** Creates one directory. Returns its path, undefined if it exists. @throws the error of the system call */
async function create(path: string): Promise<string | undefined> {
  try {
    await mkdir(path, { mode: 0o755 });
    return path;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'EEXIST' && (await stat(path)).isDirectory()) return undefined;
    throw error;
  }
}
