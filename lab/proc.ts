/** CPU time and memory of processes, from /proc. */

import { readFileSync, writeFileSync } from 'node:fs';

/** Clock ticks per second in /proc: USER_HZ, 100 on every Linux that Node runs on. */
const TICKS = 100;

/** Returns the user and system CPU seconds of all threads of a process. */
export function cpuSeconds(pid: number): number {
  const text = readFileSync(`/proc/${pid}/stat`, 'utf8');
  // The name in parentheses may contain blanks, so fields count from behind it: utime is field 14 - 2, stime 15 - 2.
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12])) / TICKS;
}

/** Returns the CPU seconds that the whole machine has spent working, interrupts included. */
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
  /** Resident memory now, MiB. */
  readonly resident: number;
  /** Its maximum since the start or the last resetPeak, MiB. */
  readonly peak: number;
}

/** Returns the resident memory of a process. */
export function memory(pid: number): Memory {
  const text = readFileSync(`/proc/${pid}/status`, 'utf8');
  const field = (name: string) =>
    Number(new RegExp(`^${name}:\\s*(\\d+) kB`, 'm').exec(text)?.[1] ?? 0) / 1024;
  return { resident: field('VmRSS'), peak: field('VmHWM') };
}

/** Resets `peak`, so that it does not include the start (proc_pid_clear_refs(5)). */
export function resetPeak(pid: number): void {
  writeFileSync(`/proc/${pid}/clear_refs`, '5');
}

/** Returns the number of IPv4 routes through a device in a process's network namespace; cheap enough to poll. */
export function countRoutes(pid: number, device: string): number {
  const lines = readFileSync(`/proc/${pid}/net/route`, 'utf8').split('\n');
  return lines.filter((line) => line.startsWith(`${device}\t`)).length;
}
