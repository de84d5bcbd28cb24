/** iproute2, with one process for many changes. */

import { exec } from './exec.js';

/** Runs lines of `ip` commands in a namespace with one process; stops at the first that fails. */
export async function ipBatch(netns: string, lines: readonly string[]): Promise<void> {
  if (lines.length === 0) return;
  await exec(['ip', '-n', netns, '-batch', '-'], { input: `${lines.join('\n')}\n`, timeoutMs: 120_000 });
}

/** Runs lines of `bridge` commands in a namespace with one process. */
export async function bridgeBatch(netns: string, lines: readonly string[]): Promise<void> {
  if (lines.length === 0) return;
  await exec(['bridge', '-n', netns, '-batch', '-'], { input: `${lines.join('\n')}\n`, timeoutMs: 120_000 });
}

/** Returns the parsed output of `ip -json …`. */
export async function ipJson<T>(netns: string, ...args: string[]): Promise<T> {
  const { stdout } = await exec(['ip', '-n', netns, '-json', ...args]);
  return JSON.parse(stdout.trim() === '' ? '[]' : stdout) as T;
}

/** Writes sysctls of a namespace; a name is a path under /proc/sys, and an unknown one is an error. */
export async function sysctl(
  netns: string,
  values: Readonly<Record<string, string | number>>,
): Promise<void> {
  const lines = Object.entries(values).map(([name, value]) => `echo ${value} > /proc/sys/${name}`);
  await exec(['sh', '-e'], { netns, input: `${lines.join('\n')}\n` });
}
