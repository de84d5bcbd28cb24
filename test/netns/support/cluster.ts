/** Weft processes with leases from a server that all nodes of a lab reach. */

import { mkdir, writeFile } from 'node:fs/promises';
import type { Test } from 'tap';
import { READY } from '../../../lab/dataplanes/weft.js';
import { exec } from '../../../lab/exec.js';
import type { Lab } from '../../../lab/lab.js';
import type { LabNode } from '../../../lab/node.js';
import type { LabProcess } from '../../../lab/process.js';
import { startCommand } from './cli.js';

/** The underlay address of the test's own processes, in a lab with three nodes or more. */
export const SERVER_ADDRESS = '192.168.77.100';

/** Adds an interface of the world to the lab's underlay until the test is over. */
export async function joinUnderlay(t: Test, lab: Lab): Promise<void> {
  const hub = `${lab.name}-underlay`;
  await exec(['ip', 'link', 'add', 'server0', 'type', 'veth', 'peer', 'name', 'server', 'netns', hub]);
  t.teardown(() => exec(['ip', 'link', 'delete', 'server0']).catch(() => undefined));
  await exec(['ip', 'link', 'set', 'server', 'master', 'br0', 'up'], { netns: hub });
  await exec(['ip', 'address', 'add', `${SERVER_ADDRESS}/24`, 'dev', 'server0']);
  await exec(['ip', 'link', 'set', 'server0', 'up']);
}

export interface Member {
  readonly node: LabNode;
  readonly process: LabProcess;
  readonly runDir: string;
  readonly subnetFile: string;
}

export interface MemberOptions {
  /** Directory under the node's own, for a node with several. */
  readonly name?: string;
  readonly env?: NodeJS.ProcessEnv;
  /** The subnet in the subnet.env of an earlier run, as `10.244.1.1/24`. */
  readonly previous?: string;
}

/** Starts `weft run` with these flags on a node; the end of the test stops it, and a failed test shows its log. */
export async function startMember(
  t: Test,
  node: LabNode,
  flags: readonly string[],
  { name = 'weft', env = {}, previous }: MemberOptions = {},
): Promise<Member> {
  const dir = `${node.dir}/${name}`;
  const subnetFile = `${dir}/subnet.env`;
  const runDir = `${dir}/run`;
  await mkdir(dir, { recursive: true });
  if (previous !== undefined) await writeFile(subnetFile, `FLANNEL_SUBNET=${previous}\n`);
  const own = ['--iface', node.iface, '--subnet-file', subnetFile, '--run-dir', runDir];
  const process = startCommand(t, node, ['run', ...flags, ...own], { env });
  t.teardown(() => {
    if (!t.passing()) t.comment(`${process.name} logged:\n${process.tail(40)}`);
  });
  return { node, process, runDir, subnetFile };
}

/** Waits until Weft forwards. */
export async function isReady({ process }: Member, timeoutMs = 20_000): Promise<void> {
  await process.waitFor(READY, timeoutMs);
}

/** Returns the answer of a node's health server on port 8081 to /readyz: code and text. */
export async function readiness({ node }: Member): Promise<string> {
  const script =
    "fetch('http://127.0.0.1:8081/readyz').then(async (r) => console.log(r.status, await r.text()))";
  return (await exec([process.execPath, '-e', script], { netns: node.netns })).stdout.trim();
}
