/** The weft command with files that a test chooses, run to its end or until it is ready. */

import { mkdir, writeFile } from 'node:fs/promises';
import type { Test } from 'tap';
import { type Lease, type NetConf, netConf } from '../../../lab/leases.js';
import type { LabNode } from '../../../lab/node.js';
import { type Exit, LabProcess } from '../../../lab/process.js';
import { WEFT_CLI } from '../../../lab/world.js';

/** The paths of the files of one Weft process. */
export interface Place {
  readonly leaseFile: string;
  readonly netConfPath: string;
  readonly subnetFile: string;
  readonly runDir: string;
}

export interface PlaceOptions {
  /** Directory under the node's own; Weft processes with separate files need different names. */
  readonly name?: string;
  /** Content of the files: a value to write as JSON, or the text itself. */
  readonly leases?: readonly Lease[] | string;
  readonly netConf?: NetConf | object | string;
}

function text(value: unknown): string {
  return typeof value === 'string' ? value : `${JSON.stringify(value, null, 2)}\n`;
}

/** Writes lease file and net-conf; Weft makes run directory and subnet file. */
export async function makePlace(node: LabNode, options: PlaceOptions = {}): Promise<Place> {
  const dir = `${node.dir}/${options.name ?? 'place'}`;
  const { leases = [node.lease(), ...node.peers()] } = options;
  await mkdir(dir, { recursive: true });
  const place = {
    leaseFile: `${dir}/leases.json`,
    netConfPath: `${dir}/net-conf.json`,
    subnetFile: `${dir}/flannel/subnet.env`,
    runDir: `${dir}/run`,
  };
  await writeFile(place.leaseFile, typeof leases === 'string' ? leases : text({ leases }));
  await writeFile(place.netConfPath, text(options.netConf ?? netConf()));
  return place;
}

/** Returns the flags of `weft run`; without an interface the default route decides. */
export function runFlags(place: Place, iface: string | undefined, ...more: readonly string[]): string[] {
  return [
    ...['run', '--lease-file', place.leaseFile, '--net-config-path', place.netConfPath],
    ...['--subnet-file', place.subnetFile, '--run-dir', place.runDir],
    ...(iface === undefined ? [] : ['--iface', iface]),
    ...more,
  ];
}

export interface CommandOptions {
  readonly env?: NodeJS.ProcessEnv;
  /** A command that runs the weft command: `setpriv …`, `unshare …`. */
  readonly under?: readonly string[];
}

/** Starts the weft command in a node; the end of the test stops it. */
export function startCommand(
  t: Test,
  node: LabNode,
  flags: readonly string[],
  { under = [], env = {} }: CommandOptions = {},
): LabProcess {
  const running = new LabProcess([...under, process.execPath, WEFT_CLI, ...flags], {
    netns: node.netns,
    name: `weft ${flags[0]} on ${node.name}`,
    env,
  });
  t.teardown(() => running.stop());
  return running;
}

export interface Finished extends Exit {
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs the weft command to its end; after the timeout it is killed and has no exit code. */
export async function runCommand(
  node: LabNode,
  flags: readonly string[],
  { under = [], env = {} }: CommandOptions = {},
  timeoutMs = 10_000,
): Promise<Finished> {
  const running = new LabProcess([...under, process.execPath, WEFT_CLI, ...flags], {
    netns: node.netns,
    env,
  });
  const timer = setTimeout(() => running.kill('SIGKILL'), timeoutMs);
  const exit = await running.exited;
  clearTimeout(timer);
  return { ...exit, stdout: running.stdout, stderr: running.stderr };
}
