/** Asserts that a start is refused: one line, exit code 1, and an unchanged system. */

import { readdir, stat } from 'node:fs/promises';
import type { Test } from 'tap';
import type { LabNode } from '../../../lab/node.js';
import { type CommandOptions, makePlace, type PlaceOptions, runCommand, runFlags } from './cli.js';
import { networkOf } from './state.js';

export interface Refusal extends PlaceOptions, CommandOptions {
  /** The message behind the line's header. */
  readonly line: RegExp;
  /** Interface instead of the node's own. */
  readonly iface?: string;
  readonly flags?: readonly string[];
}

/**
 * Returns every file and directory of a node with the attributes that a write changes. A start has its control socket in the
 * run directory, so the time of a directory may change.
 */
async function filesOf(node: LabNode): Promise<string[]> {
  const names = (await readdir(node.dir, { recursive: true })).sort();
  return await Promise.all(
    names.map(async (name) => {
      const entry = await stat(`${node.dir}/${name}`);
      const { mode, size, mtimeMs, ino } = entry;
      return `${name} ${mode.toString(8)} ${ino}${entry.isDirectory() ? '' : ` ${size} ${mtimeMs}`}`;
    }),
  );
}

export async function refused(t: Test, node: LabNode, refusal: Refusal): Promise<void> {
  const place = await makePlace(node, refusal);
  const before = { network: await networkOf(node), files: await filesOf(node) };
  const flags = runFlags(place, refusal.iface ?? node.iface, ...(refusal.flags ?? []));
  const { code, stdout, stderr } = await runCommand(node, flags, refusal);
  t.equal(code, 1, 'exit code');
  t.equal(stdout, '', 'nothing on stdout');
  t.match(stderr, /^E[^\n]+\] [^\n]+\n$/, 'one line on stderr');
  t.match(stderr, refusal.line, 'the reason');
  t.strictSame({ network: await networkOf(node), files: await filesOf(node) }, before, 'nothing has changed');
}
