/** What every netns test starts from: a lab that goes with the test, and wefts whose logs appear when the test fails. */

import type { Test } from 'tap';
import { kernelHasVxlan } from '../../../lab/dataplanes/kernel.js';
import { ready, spawnWeft, type WeftDataplane, type WeftOptions } from '../../../lab/dataplanes/weft.js';
import { succeeds } from '../../../lab/exec.js';
import { Lab, type LabOptions } from '../../../lab/lab.js';
import type { LabNode } from '../../../lab/node.js';

/** Builds a lab that is taken down when the test is over. Every test file names its labs differently. */
export async function makeBed(t: Test, options: LabOptions & { readonly name: string }): Promise<Lab> {
  const lab = await Lab.create(options);
  t.teardown(() => lab.dispose());
  return lab;
}

/** The offload rungs of `weft run`. */
export const LEVELS = ['none', 'gso'] as const;

/** Options for a weft on this level, whatever the kernel can. */
export function atLevel(level: (typeof LEVELS)[number], ...flags: readonly string[]): WeftOptions {
  return { flags: ['--offload', level, ...flags] };
}

/** Starts `weft run` on a node and waits until it forwards; it ends with the test at the latest. */
export async function startWeft(t: Test, node: LabNode, options: WeftOptions = {}): Promise<WeftDataplane> {
  const weft = await spawnWeft(node, options);
  t.teardown(async () => {
    await weft.stop();
    if (!t.passing()) t.comment(`${weft.process.name} said:\n${weft.tail()}`);
  });
  await ready(weft);
  return weft;
}

/** Starts `weft run` on all nodes of a lab, together. */
export async function startWefts(
  t: Test,
  nodes: readonly LabNode[],
  options: WeftOptions = {},
): Promise<WeftDataplane[]> {
  return await Promise.all(nodes.map((node) => startWeft(t, node, options)));
}

/**
 * Options for a test that needs the kernel's vxlan as the peer. A node without it is what Weft is made for, and there the
 * test says so and is left out; in CI it runs, whatever it finds.
 */
export async function withKernelVxlan(): Promise<{ skip: string | false }> {
  const able = process.env.CI !== undefined || (await kernelHasVxlan());
  return { skip: able ? false : 'this kernel has no vxlan to be the peer' };
}

/** Options for a test that has the kernel change packets on the underlay, on the same terms. */
export async function withNftables(): Promise<{ skip: string | false }> {
  const able = process.env.CI !== undefined || (await succeeds(['nft', 'list', 'ruleset']));
  return { skip: able ? false : 'this kernel has no nf_tables to change packets with' };
}
