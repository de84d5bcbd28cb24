/**
 * Outputs of commands that are compared as a whole with the files of test/fixtures/golden. After a wanted change this
 * writes them again; read the difference before the commit:
 *
 *     WEFT_GOLDEN=write npm test -- netns/parallel/golden
 */

import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Test } from 'tap';
import { ROOT } from '../../support/code-blocks.js';
import type { Finished } from './cli.js';

/** The folder, and the files that were compared. */
export const GOLDEN = { folder: join(ROOT, 'test/fixtures/golden'), names: new Set<string>() };

/** What differs from run to run, or from machine to machine. A mask hides a number or a reason, never a whole entry. */
const MASKS: readonly RegExp[] = [
  /(?<=\bweft )\d+\.\d+\.\d+/g,
  /(?<="version": ")[^"]*/g,
  // The header of a log line: date, time, process ID, line of the source.
  /(?<=^[IWE])\d{4} [\d:.]+ +\d+(?= \w)/gm,
  /(?<=^[IWE]# [\w-]+\.js:)\d+/gm,
  /(?<=\bpid )\d+/g,
  // Times and ages, but no MAC: `00:00:07`, `14:28:35.866793`, `3s`, `0.31 ms`, `1.2 to 1.5 ms`. Ages also in a column.
  /(?<![\w:])\d\d:\d\d:\d\d(?:\.\d+)?(?![\w:])/g,
  /(?<= )\d+[smhd]\b(?: +(?= \d))?/g,
  /[\d.]+(?: to [\d.]+)?(?= ms\b)/g,
  // The source ports of the tunnel.
  /(?<=192\.168\.77\.\d\.)(?!8472)\d+/g,
  // What depends on the privileges of the test and on the cores of the machine.
  /(?<=\bdropped )\d+(?= capabilities)/g,
  /\d+(?= threads of Node\.js)/g,
  // What depends on the machine and its kernel. The text may have further lines.
  /(?<=^ok {7}(?:Linux|capabilities:|vxlan module:|UDP GSO and GRO:|BPF:) ).*(?:\n {9}.*)*/gm,
  /(?<="uso": )\w+/g,
];

/** Keys of `weft status --json` whose numbers differ from run to run. */
const VARYING = /^pid$|Seconds$|^threadsWithMore$/;

/** Returns the text with # in the place of everything that varies. */
function masked(text: string): string {
  return MASKS.reduce((left, mask) => left.replace(mask, '#'), text);
}

/** Returns JSON with 0 for each number that varies. */
export function maskedJson(text: string): string {
  const value = JSON.parse(text, (key, value) =>
    typeof value === 'number' && VARYING.test(key) ? 0 : (value as unknown),
  ) as unknown;
  return `${JSON.stringify(value, null, 2)}\n`;
}

/** Returns what a user sees of a command: its line, both outputs, and the exit code unless it is 0. */
export function transcript(
  args: readonly string[],
  { stdout, stderr, code }: Omit<Finished, 'signal'>,
): string {
  return [
    `$ weft ${args.join(' ')}\n${stdout}`,
    stderr === '' ? '' : `--- stderr\n${stderr}`,
    code === 0 ? '' : `--- exit code ${code}\n`,
  ].join('');
}

/** Compares a text with a file of the folder, or writes the file. */
export function golden(t: Test, name: string, text: string): void {
  const file = `${name}.txt`;
  const path = join(GOLDEN.folder, file);
  GOLDEN.names.add(file);
  const actual = masked(text);
  if (process.env.WEFT_GOLDEN === 'write') writeFileSync(path, actual);
  t.equal(actual, existsSync(path) ? readFileSync(path, 'utf8') : undefined, file);
}
