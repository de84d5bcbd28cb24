// The hashes of a release's files, as `sha256sum --check` reads them.

import { createHash } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';

/**
 * Writes SHA256SUMS beside the files.
 * @param {{ paths: string[], outDir: string }} options
 */
export function writeSums({ paths, outDir }) {
  const lines = paths
    .map((path) => `${createHash('sha256').update(readFileSync(path)).digest('hex')}  ${basename(path)}\n`)
    .sort((a, b) => (a.slice(66) < b.slice(66) ? -1 : 1));
  writeFileSync(join(outDir, 'SHA256SUMS'), lines.join(''));
}
