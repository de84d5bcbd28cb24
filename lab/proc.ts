/** What /proc says of processes: CPU time and memory. */

import { readFileSync, writeFileSync } from 'node:fs';

/** Clock ticks a second in /proc: USER_HZ, which is 100 on every Linux that Node runs on. */
const TICKS = 100;

/** User and system CPU seconds of a process, all its threads. */
export function cpuSeconds(pid: number): number {
  const text = readFileSync(`/proc/${pid}/stat`, 'utf8');
  // The name in parentheses may hold blanks: count from behind it. utime is field 14, stime 15, of which 2 are gone.
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12])) / TICKS;
}

/** CPU seconds that the whole machine has spent working, interrupts included. */
export function machineCpuSeconds(): number {
  const [first = ''] = readFileSync('/proc/stat', 'utf8').split('\n', 1);
  const [user = 0, nice = 0, system = 0, , , irq = 0, softirq = 0] = first
    .trim()
    .split(/\s+/)
    .slice(1)
    .map(Number);
  return (user + nice + system + irq + softirq) / TICKS;
}

export interface Memory {
  /** Resident now, MiB. */
  readonly resident: number;
  /** The most it was since it started, or since resetPeak, MiB. */
  readonly peak: number;
}

/** Resident memory of a process. */
export function memory(pid: number): Memory {
  const text = readFileSync(`/proc/${pid}/status`, 'utf8');
  const field = (name: string) =>
    Number(new RegExp(`^${name}:\\s*(\\d+) kB`, 'm').exec(text)?.[1] ?? 0) / 1024;
  return { resident: field('VmRSS'), peak: field('VmHWM') };
}

/** Lets `peak` begin anew: what starting took is no measure of what running takes (proc_pid_clear_refs(5)). */
export function resetPeak(pid: number): void {
  writeFileSync(`/proc/${pid}/clear_refs`, '5');
}

/** Number of IPv4 routes through a device in the network namespace that a process lives in; cheap enough to poll. */
export function countRoutes(pid: number, device: string): number {
  const lines = readFileSync(`/proc/${pid}/net/route`, 'utf8').split('\n');
  return lines.filter((line) => line.startsWith(`${device}\t`)).length;
}
