/** Containers of the image on the nodes of the lab, by crun: an OCI runtime without a daemon. */

import { mkdir, writeFile } from 'node:fs/promises';
import type { Test } from 'tap';
import { exec, succeeds } from '../../../lab/exec.js';
import type { LabNode } from '../../../lab/node.js';
import { type Exit, LabProcess } from '../../../lab/process.js';
import { withKernelVxlan } from './bed.js';
import {
  BPF_PATH,
  type ContainerSpec,
  type ImageDefaults,
  ociConfig,
  type PodPlace,
  type PodSpec,
} from './container-spec.js';

/** The unpacked image, which scripts/test.mjs makes. */
function imageRoot(): string {
  const root = process.env.WEFT_IMAGE_ROOT;
  if (root === undefined) throw new Error('WEFT_IMAGE_ROOT names no unpacked image: run it by npm test');
  return root;
}

/** Returns options for a test of the image with the kernel's vxlan as the peer; skipped where there is no image. */
export async function withImage(): Promise<{ skip: string | false }> {
  if (process.env.WEFT_IMAGE_ROOT === undefined) return { skip: 'there is no image for this architecture' };
  return await withKernelVxlan();
}

/** The configuration of the image (scripts/release/oci.mjs). */
export const IMAGE: ImageDefaults = { entrypoint: ['/usr/bin/weft'], env: ['PATH=/usr/sbin:/usr/bin'] };

/**
 * What runs in the node's network namespace. crun refuses hybrid cgroups also if it uses none, so that it gets a plain cgroup
 * file system. `ip netns exec` would hide the BPF file system.
 */
const SCRIPT = 'mount -t cgroup2 cgroup2 /sys/fs/cgroup && exec "$@"';

export class Container {
  readonly process: LabProcess;
  private readonly runtime: readonly string[];
  private readonly id: string;

  constructor(node: LabNode, dir: string, id: string) {
    this.id = id;
    this.runtime = ['crun', `--root=${dir}/state`, '--cgroup-manager=disabled'];
    const enter = ['nsenter', `--net=/run/netns/${node.netns}`, 'unshare', '--mount'];
    this.process = new LabProcess(
      [...enter, 'sh', '-c', SCRIPT, 'sh', ...this.runtime, 'run', `--bundle=${dir}`, id],
      { name: `container ${id} on ${node.name}` },
    );
  }

  /** Runs a command in the container, as `kubectl exec` does, and returns what it prints. */
  async exec(...argv: readonly string[]): Promise<string> {
    const run = [...this.runtime, 'exec', this.id, ...argv];
    return (await exec(['unshare', '--mount', 'sh', '-c', SCRIPT, 'sh', ...run])).stdout;
  }

  /** Sends SIGTERM as the kubelet does, and returns how the container ended. */
  async end(): Promise<Exit> {
    await succeeds([
      'unshare',
      '--mount',
      'sh',
      '-c',
      SCRIPT,
      'sh',
      ...this.runtime,
      'kill',
      this.id,
      'TERM',
    ]);
    return await this.process.exited;
  }
}

let started = 0;

/** Starts a container on a node, from the image's files with a layer of its own. The end of the test stops it. */
export async function startContainer(
  t: Test,
  node: LabNode,
  pod: PodSpec,
  container: ContainerSpec,
  place: PodPlace,
  capabilities?: string[],
): Promise<Container> {
  const id = `${node.name}-${container.name}-${++started}`;
  const dir = `${node.dir}/${id}`;
  for (const name of ['rootfs', 'upper', 'work', 'state']) await mkdir(`${dir}/${name}`, { recursive: true });
  await writeFile(
    `${dir}/config.json`,
    JSON.stringify(ociConfig(pod, container, place, IMAGE, capabilities)),
  );
  await mountBpf(node, place.host);
  const layers = `lowerdir=${imageRoot()},upperdir=${dir}/upper,workdir=${dir}/work`;
  await exec(['mount', '-t', 'overlay', '-o', layers, 'overlay', `${dir}/rootfs`]);
  const running = new Container(node, dir, id);
  t.teardown(async () => {
    await running.end();
    if (!t.passing()) t.comment(`${running.process.name} logged:\n${running.process.tail(40)}`);
    await exec(['umount', `${dir}/rootfs`]);
  });
  return running;
}

/** Runs a container to its end. */
export async function runContainer(
  ...start: Parameters<typeof startContainer>
): Promise<Exit & { output: string }> {
  const { process } = await startContainer(...start);
  return { ...(await process.exited), output: process.output };
}

/** Gives a node a BPF file system of its own, which disappears with the lab. */
async function mountBpf(node: LabNode, host: string): Promise<void> {
  const path = host + BPF_PATH;
  if (await succeeds(['mountpoint', '-q', path])) return;
  await mkdir(path, { recursive: true });
  await exec(['mount', '-t', 'bpf', 'bpf', path]);
  node.own({ stop: () => exec(['umount', path]) });
}
