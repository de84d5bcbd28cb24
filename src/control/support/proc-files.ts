/** Files of the kernel. Processes end meanwhile, and some are not ours to inspect: what cannot be read is empty. */

import { readdirSync, readFileSync, readlinkSync } from 'node:fs';

export function entries(directory: string): string[] {
  try {
    return readdirSync(directory);
  } catch {
    return [];
  }
}

export function read(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}

export function linkTarget(path: string): string | undefined {
  try {
    return readlinkSync(path);
  } catch {
    return undefined;
  }
}
