/** The result of a run as a file, from which charts are drawn. */

import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import type { Machine } from './machine.js';
import type { Summary } from './report.js';

/** A summary in a file. Older results have no smallest and largest value. */
export type Recorded = Omit<Summary, 'min' | 'max'> & Partial<Pick<Summary, 'min' | 'max'>>;

/** What is kept of a run. */
export interface Result {
  readonly machine: Pick<Machine, 'cpu' | 'cores' | 'kernel' | 'node' | 'date'>;
  readonly summary: readonly Recorded[];
}

/** Reads a result; throws an error that names the file if it is none. */
export function readResult(path: string): Result {
  let parsed: Partial<Result>;
  try {
    parsed = JSON.parse(readFileSync(path, 'utf8')) as Partial<Result>;
  } catch (error) {
    throw new Error(`${path}: ${error instanceof Error ? error.message : error}`);
  }
  if (parsed.machine === undefined || !Array.isArray(parsed.summary))
    throw new Error(`${path}: not a result of npm run bench: 'machine' or 'summary' is missing`);
  return parsed as Result;
}

/** Writes a result with one value per line, so that versions of it can be compared. */
export function writeResult(path: string, { machine, summary }: Result): void {
  const lines = summary.map((one) => JSON.stringify(one)).join(',\n');
  write(path, `{"machine":${JSON.stringify(machine)},\n"summary":[\n${lines}\n]}\n`);
}

/** Writes a file, with its folder. */
export function write(path: string, text: string): void {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, text);
}
