/** The paths that `weft run` writes: what is in their way ends it after it has set up its device. */

import { accessSync, constants, statSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import type { RunOptions } from '../options.js';
import { shellWord } from '../support/printable.js';
import { type Finding, problem } from './finding.js';

/** Checks the run directory and the subnet file. A right that only this user lacks is another finding. */
export function checkFiles({ runDir, subnetFile }: Pick<RunOptions, 'runDir' | 'subnetFile'>): Finding[] {
  const [directory, file] = [resolve(runDir), resolve(subnetFile)];
  if (isDirectory(file)) return [finding(`--subnet-file ${file} is a directory`, `rmdir ${shellWord(file)}`)];
  return [
    ...checkDirectory(directory, `--run-dir ${directory}`, '--run-dir'),
    ...checkDirectory(dirname(file), `--subnet-file ${file}`, '--subnet-file'),
  ];
}

/** Checks that files can be created in a directory, or in the nearest one above it that exists. */
function checkDirectory(directory: string, what: string, flag: string): Finding[] {
  const is = isDirectory(directory);
  if (is === undefined) return checkDirectory(dirname(directory), what, flag);
  const fix = `Name another path with ${flag}.`;
  if (!is) return [finding(`${what}: ${directory} is no directory`, fix)];
  return isReadOnly(directory) ? [finding(`${what}: the file system of ${directory} is read-only`, fix)] : [];
}

function finding(what: string, fix: string): Finding {
  const why = 'weft run ends when it cannot write there, and the node has no pod network.';
  return problem('not-writable', 'error', what, why, fix);
}

/** Undefined if there is nothing at the path. */
function isDirectory(path: string): boolean | undefined {
  try {
    return statSync(path).isDirectory();
  } catch {
    return undefined;
  }
}

function isReadOnly(directory: string): boolean {
  try {
    accessSync(directory, constants.W_OK);
    return false;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EROFS';
  }
}
