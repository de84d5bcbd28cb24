/** Runs `weft doctor` on a node, compares its findings, and runs their commands. */

import type { Test } from 'tap';
import type { LabNode } from '../../../lab/node.js';
import { type CommandOptions, runCommand } from './cli.js';
import { assertSchema } from './doctor-schema.js';

export interface Finding {
  readonly id: string;
  readonly severity: string;
  readonly what: string;
  readonly why: string;
  readonly fix: string;
}

/** What a finding must say. */
export interface Expected {
  readonly id: string;
  readonly severity?: 'error' | 'warning';
  readonly what: RegExp;
  readonly fix: RegExp | string;
}

/** Returns the findings; the report must have the documented keys and the right exit code. */
export async function findingsOf(
  t: Test,
  node: LabNode,
  flags: readonly string[],
  options?: CommandOptions,
): Promise<Finding[]> {
  const { code, stdout, stderr } = await runCommand(node, ['doctor', '--json', ...flags], options, 25_000);
  t.match(stdout, /^\{/, stderr);
  const report = JSON.parse(stdout) as { findings: Finding[]; healthy: boolean };
  assertSchema(t, report);
  t.equal(code, report.healthy ? 0 : 1);
  return report.findings;
}

/** Asserts that the doctor has this one finding, and returns it. */
export async function finds(
  t: Test,
  node: LabNode,
  flags: readonly string[],
  expected: Expected,
  options?: CommandOptions,
): Promise<Finding | undefined> {
  const { severity = 'warning', ...rest } = expected;
  const findings = await findingsOf(t, node, flags, options);
  t.match(findings, [{ severity, ...rest }]);
  t.equal(findings.length, 1, JSON.stringify(findings));
  return findings[0];
}

/** As `finds`, then runs the command of the finding, and asserts that the doctor finds nothing any more. */
export async function cures(
  t: Test,
  node: LabNode,
  flags: readonly string[],
  expected: Expected,
): Promise<void> {
  const finding = await finds(t, node, flags, expected);
  await node.exec(['sh', '-ec', finding?.fix ?? 'false']);
  t.strictSame(await findingsOf(t, node, flags), [], `after ${finding?.fix}`);
}

/** Runs a command in its own mounts, which these lines of shell change. */
export function mounted(...lines: readonly string[]): CommandOptions {
  return { under: ['unshare', '--mount', 'sh', '-ec', [...lines, 'exec "$@"'].join('\n'), 'sh'] };
}

/** Runs a command whose Node.js first runs this module. */
export function preloaded(code: string): NodeJS.ProcessEnv {
  return { NODE_OPTIONS: `--import=data:text/javascript,${encodeURIComponent(code)}` };
}
