/** A network namespace of its own for a test file that changes interfaces. */

import { execFileSync } from 'node:child_process';
import koffi from 'koffi';

const CLONE_NEWNET = 0x40000000; // linux/sched.h
const cUnshare = koffi.load(null).func('int unshare(int flags)');

/**
 * Moves the main thread, and so the commands that it starts, into a new network namespace. It ends with the process.
 * Returns options for the tests that need it: without the privilege they are reported as skipped.
 */
export function enterOwnNetwork(): { skip: string | false } {
  if ((cUnshare(CLONE_NEWNET) as number) < 0)
    return { skip: `a network namespace needs CAP_SYS_ADMIN (errno ${koffi.errno()})` };
  run('ip link set dev lo up');
  return { skip: false };
}

/** Runs a command line, of words without spaces, with more arguments. Returns what it prints. @throws Error if it fails */
export function run(line: string, more: readonly string[] = []): string {
  const [file = '', ...args] = line.split(' ');
  return execFileSync(file, [...args, ...more], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
}

/** Returns the index of an interface. */
export function indexOf(name: string): number {
  const [link] = JSON.parse(run(`ip -json link show dev ${name}`)) as { ifindex: number }[];
  return Number(link?.ifindex);
}
