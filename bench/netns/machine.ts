/** The machine of a measurement. */

import { readFileSync } from 'node:fs';
import { cpus, release, totalmem } from 'node:os';
import { exec } from '../../lab/exec.js';

export interface Machine {
  readonly cpu: string;
  readonly cores: number;
  readonly memoryGiB: number;
  readonly arch: string;
  readonly kernel: string;
  readonly node: string;
  readonly system: string;
  readonly iperf3: string;
  readonly openvswitch: string | null;
  readonly date: string;
}

/** Returns a description of this machine. */
export async function describeMachine(): Promise<Machine> {
  const system = /^PRETTY_NAME="?(.*?)"?$/m.exec(readFileSync('/etc/os-release', 'utf8'))?.[1];
  return {
    cpu: cpus()[0]?.model ?? 'unknown',
    cores: cpus().length,
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    arch: process.arch,
    kernel: release(),
    node: process.versions.node,
    system: system ?? 'unknown',
    iperf3: (await firstLine(['iperf3', '--version'])) ?? 'unknown',
    openvswitch: await firstLine(['ovs-vswitchd', '--version']),
    date: new Date().toISOString(),
  };
}

async function firstLine(argv: readonly string[]): Promise<string | null> {
  try {
    return (await exec(argv)).stdout.split('\n', 1)[0] ?? null;
  } catch {
    return null;
  }
}
