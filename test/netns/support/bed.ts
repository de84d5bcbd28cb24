/** The start of every netns test: a lab that ends with the test, and Weft processes whose logs appear if it fails. */

import type { Test } from 'tap';
import { kernelHasVxlan } from '../../../lab/dataplanes/kernel.js';
import { ready, spawnWeft, type WeftDataplane, type WeftOptions } from '../../../lab/dataplanes/weft.js';
import { succeeds } from '../../../lab/exec.js';
import { Lab, type LabOptions } from '../../../lab/lab.js';
import type { LabNode } from '../../../lab/node.js';

/** Builds a lab that the end of the test removes. Every lab of the project has its own name. */
export async function makeBed(t: Test, options: LabOptions & { readonly name: string }): Promise<Lab> {
  const lab = await Lab.create(options);
  t.teardown(() => lab.dispose());
  return lab;
}

/** The offload levels at which the forwarding threads carry all packets. */
export const USERSPACE_LEVELS = ['none', 'gso'] as const;

/** All offload levels of `weft run`. `bpf` carries vxlan over IPv4 only. */
export const LEVELS = [...USERSPACE_LEVELS, 'bpf'] as const;

/** Returns options for Weft at this offload level. */
export function atLevel(level: (typeof LEVELS)[number], ...flags: readonly string[]): WeftOptions {
  return { flags: ['--offload', level, ...flags] };
}

/** Starts `weft run` on a node and waits until it forwards; the end of the test stops it. */
export async function startWeft(t: Test, node: LabNode, options: WeftOptions = {}): Promise<WeftDataplane> {
  const weft = await spawnWeft(node, options);
  t.teardown(async () => {
    await weft.stop();
    if (!t.passing()) t.comment(`${weft.process.name} logged:\n${weft.tail()}`);
  });
  await ready(weft);
  return weft;
}

/** Starts `weft run` on these nodes at the same time. Returns the processes in the order of the nodes. */
export async function startWefts(
  t: Test,
  nodes: readonly LabNode[],
  options: WeftOptions = {},
): Promise<WeftDataplane[]> {
  return await Promise.all(nodes.map((node) => startWeft(t, node, options)));
}

/**
 * Returns options for a test with the kernel's vxlan as the peer. A machine without it, for which Weft is made, reports
 * the test as skipped; in CI the test always runs.
 */
export async function withKernelVxlan(): Promise<{ skip: string | false }> {
  const able = process.env.CI !== undefined || (await kernelHasVxlan());
  return { skip: able ? false : 'this kernel has no vxlan for the peer' };
}

/** Returns options for a test in which nftables changes packets on the underlay; skipped on the same terms. */
export async function withNftables(): Promise<{ skip: string | false }> {
  const able = process.env.CI !== undefined || (await succeeds(['nft', 'list', 'ruleset']));
  return { skip: able ? false : 'this kernel has no nf_tables to change packets with' };
}
