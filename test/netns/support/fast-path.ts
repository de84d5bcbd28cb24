/** The fast path of a node: its state, and what it consists of in the kernel. */

import { mkdir } from 'node:fs/promises';
import type { Test } from 'tap';
import { exec } from '../../../lab/exec.js';
import type { LabNode } from '../../../lab/node.js';
import { until } from '../../../lab/until.js';
import { statusOf } from './state.js';

/** The two ways of attaching programs. */
export const ATTACHMENTS = ['tcx', 'clsact'] as const;

/** Returns the environment of a Weft that attaches one way. The namespaces of nodes have no BPF file system. */
export async function attachedBy(
  t: Test,
  node: LabNode,
  attachment: (typeof ATTACHMENTS)[number],
): Promise<NodeJS.ProcessEnv> {
  if (attachment === 'clsact') return { ...process.env, WEFT_TEST_ATTACH: attachment };
  const fileSystem = `${node.dir}/bpf`;
  await mkdir(fileSystem, { recursive: true });
  await exec(['mount', '-t', 'bpf', 'bpf', fileSystem]);
  t.teardown(() => exec(['umount', fileSystem]));
  return { ...process.env, WEFT_TEST_ATTACH: attachment, WEFT_TEST_BPF_FS: fileSystem };
}

/** Returns the packets that the fast path has sent and received. */
export async function fastPackets(weft: { readonly runDir: string }): Promise<{ tx: number; rx: number }> {
  const { counters } = await statusOf(weft);
  return { tx: counters.fast_tx_packets ?? 0, rx: counters.fast_rx_packets ?? 0 };
}

/** Waits until the fast path is on or off. Returns its status. */
export async function fastPathIs(weft: { readonly runDir: string }, on: boolean) {
  return await until(`the fast path is ${on ? 'on' : 'off'}`, async () => {
    const { fastPath } = (await statusOf(weft)).offload;
    return fastPath.on === on && fastPath;
  });
}

/** Returns the BPF filters at a hook of a node, in their order. */
export async function filtersAt(node: LabNode, device: string, direction: string): Promise<string[]> {
  const { stdout } = await node.exec(['tc', 'filter', 'show', 'dev', device, direction]);
  return [...stdout.matchAll(/pref \d+ (\w+).* handle (?:0x\d+ )?(\S*)/g)].map(
    ([, kind, name]) => `${kind} ${name}`,
  );
}
