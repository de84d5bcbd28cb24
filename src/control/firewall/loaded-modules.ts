/** The kernel modules that are loaded. */

import { readFile } from 'node:fs/promises';

/** Returns the names of the loaded modules: with another one the kernel may accept more rules. */
export async function loadedModules(): Promise<string> {
  const text = await readFile('/proc/modules', 'latin1').catch(() => '');
  return text.replaceAll(/ .*$/gm, '');
}
