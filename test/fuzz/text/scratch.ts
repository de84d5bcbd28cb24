/** A directory for the files that parsers read. */

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export const SCRATCH = mkdtempSync(join(tmpdir(), 'weft-fuzz-'));
process.on('exit', () => rmSync(SCRATCH, { recursive: true, force: true }));

/** Fails unless a result is stable. */
export function equal(actual: string | undefined, expected: string | undefined, what: string): void {
  if (actual !== expected) throw new Error(`${what} changed from ${expected} to ${actual}`);
}
