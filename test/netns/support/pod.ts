/**
 * The pod of deploy/kubernetes as a container runtime starts it. It has own mount and PID namespaces, and the network of
 * the node. Its root, /proc/sys and /sys are read-only. It gets the volumes and the capabilities of the manifest. What
 * the image has comes from this machine.
 */

import { readFileSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import type { Test } from 'tap';
import { exec } from '../../../lab/exec.js';
import { ipBatch } from '../../../lab/ip.js';
import type { Lab } from '../../../lab/lab.js';
import type { LabNode } from '../../../lab/node.js';
import { type Exit, LabProcess } from '../../../lab/process.js';
import { WEFT_CLI } from '../../../lab/world.js';
import type { KubeApi } from '../../support/kube-api.js';
import { type Container, configOf, type Manifest, type PodSpec, podOf } from '../../support/manifests.js';
import { SERVER_ADDRESS } from './cluster.js';
import { startApi, TOKEN } from './kube-cluster.js';

const SERVICE_ACCOUNT = '/run/secrets/kubernetes.io/serviceaccount';

/**
 * Builds the root in $1 from this machine's directories, mounts the volumes, and runs the rest of the arguments in it.
 * $2 has a line for each volume: source, path, and `ro` or `rw`. $3 is the list of capabilities.
 */
const RUNTIME = `set -e
root=$1 volumes=$2 capabilities=$3
shift 3
mount -t tmpfs tmpfs "$root"
for path in /*; do
  case $path in
    /proc | /sys | /dev | /run | /host) mkdir "$root$path" ;;
    /etc) cp -a /etc "$root/etc" ;;
    *) if [ -L "$path" ]; then cp -P "$path" "$root$path"
       elif [ -d "$path" ]; then mkdir "$root$path"; mount --rbind "$path" "$root$path"
         mount -o remount,bind,ro "$root$path"; fi ;;
  esac
done
mount -t proc proc "$root/proc"
mount --bind "$root/proc/sys" "$root/proc/sys"
mount -o remount,bind,ro "$root/proc/sys"
mount -t sysfs -o ro sysfs "$root/sys"
for device in null zero random urandom; do
  touch "$root/dev/$device"
  mount --bind "/dev/$device" "$root/dev/$device"
done
echo "$volumes" | while read -r source path mode; do
  if [ -d "$source" ]; then mkdir -p "$root$path"
  else mkdir -p "$(dirname "$root$path")"; touch "$root$path"; fi
  mount --bind "$source" "$root$path"
  [ "$mode" = rw ] || mount -o remount,bind,ro "$root$path"
done
mount -o remount,ro "$root"
exec chroot "$root" setpriv --no-new-privs --inh-caps=-all --bounding-set="-all$capabilities" "$@"`;

export interface PodOptions {
  /** A capability of the manifest that the pod does not get, as BPF. */
  readonly withoutCapability?: string;
  /** The path of a volume mount of the manifest that the pod does not get. */
  readonly withoutMount?: string;
  /** Fields of its container that a patch replaces. */
  readonly patch?: Partial<Container>;
}

export interface Pod {
  readonly process: LabProcess;
  readonly runDir: string;
  readonly subnetFile: string;
  /** Ends it as kubelet does. */
  end(): Promise<Exit>;
  /** Requests what the readiness probe requests. Returns status and text. */
  probe(): Promise<string>;
}

export interface Cluster {
  readonly api: KubeApi;
  start(t: Test, node: LabNode, options?: PodOptions): Promise<Pod>;
}

/** Starts an API server for a lab with three nodes or more. Its pods are those of the manifests. */
export async function makePodCluster(t: Test, lab: Lab, manifests: readonly Manifest[]): Promise<Cluster> {
  const api = await startApi(t, lab);
  const account = `${lab.dir}/account`;
  await writeFiles(account, { 'ca.crt': api.ca, token: TOKEN });
  const config = `${lab.dir}/config`;
  await writeFiles(config, configOf(manifests) ?? {});
  for (const node of lab.nodes) {
    // The manifest names no interface, so that of the default route is used.
    await ipBatch(node.netns, [`route add default via 192.168.77.254 dev ${node.iface}`]);
    const host = hostOf(node);
    for (const path of ['/run/flannel', '/run/weft', '/sys/fs/bpf'])
      await mkdir(`${host}${path}`, { recursive: true });
    await writeFile(`${host}/run/xtables.lock`, '');
    await exec(['mount', '-t', 'bpf', 'bpf', `${host}/sys/fs/bpf`]);
    t.teardown(() => exec(['umount', `${host}/sys/fs/bpf`]));
  }
  const start: Cluster['start'] = (t, node, options = {}) =>
    startPod(t, node, { spec: podOf(manifests), api, account, config, options });
  return { api, start };
}

/** Returns the directory that stands for the file system of the node's host. */
function hostOf(node: LabNode): string {
  return `${node.dir}/host`;
}

async function writeFiles(dir: string, files: Record<string, string>): Promise<void> {
  await mkdir(dir, { recursive: true });
  for (const [name, text] of Object.entries(files)) await writeFile(`${dir}/${name}`, text);
}

interface Start {
  readonly spec: PodSpec;
  readonly api: KubeApi;
  readonly account: string;
  readonly config: string;
  readonly options: PodOptions;
}

async function startPod(t: Test, node: LabNode, start: Start): Promise<Pod> {
  const { spec, api, account, config, options } = start;
  const container = { ...spec.containers[0], ...options.patch };
  const host = hostOf(node);
  const mounts = container.volumeMounts.filter(({ mountPath }) => mountPath !== options.withoutMount);
  const volumes = mounts.map(({ name, mountPath, readOnly }) => {
    const { hostPath, configMap } = spec.volumes.find((volume) => volume.name === name) ?? {};
    const path = hostPath?.path ?? '';
    const source = configMap !== undefined ? config : /^\/(dev|proc)\//.test(path) ? path : `${host}${path}`;
    return `${source} ${mountPath} ${readOnly ? 'ro' : 'rw'}`;
  });
  volumes.push(`${account} ${SERVICE_ACCOUNT} ro`);
  const { add = [] } = container.securityContext?.capabilities ?? {};
  const capabilities = add.filter((name) => name !== options.withoutCapability);
  const values: Record<string, string> = {
    NODE_NAME: node.name,
    POD_NAME: 'weft-x1',
    POD_NAMESPACE: 'weft-system',
  };
  const environment = [
    ...(container.env ?? []).map(({ name }) => `${name}=${values[name]}`),
    `KUBERNETES_SERVICE_HOST=${SERVER_ADDRESS}`,
    `KUBERNETES_SERVICE_PORT=${new URL(api.url).port}`,
    `PATH=${process.env.PATH}`,
  ];
  const root = `${node.dir}/root`;
  await mkdir(root, { recursive: true });
  const [program, ...words] = container.command;
  t.equal(program, '/usr/bin/weft');
  const running = new LabProcess(
    [
      ...['unshare', '--mount', '--pid', '--fork', '--kill-child', 'sh', '-c', RUNTIME, 'runtime'],
      ...[root, volumes.join('\n'), capabilities.map((name) => `,+${name.toLowerCase()}`).join('')],
      ...['env', '-i', ...environment, process.execPath, WEFT_CLI, ...words, ...container.args],
    ],
    { netns: node.netns, name: `the pod of ${node.name}` },
  );
  t.teardown(async () => {
    // unshare ignores SIGTERM; its end kills the pod.
    await running.stop('SIGKILL');
    if (!t.passing()) t.comment(`${running.name} logged:\n${running.tail(40)}`);
  });
  return {
    process: running,
    runDir: `${host}/run/weft`,
    subnetFile: `${host}/run/flannel/subnet.env`,
    end: () => {
      const children = readFileSync(`/proc/${running.pid}/task/${running.pid}/children`, 'utf8');
      process.kill(Number(children), 'SIGTERM');
      return running.exited;
    },
    probe: async () => {
      const { host: address, port, path } = container.readinessProbe?.httpGet ?? {};
      const script = `fetch('http://${address}:${port}${path}').then(async (r) => console.log(r.status, await r.text()))`;
      return (await node.exec([process.execPath, '-e', script])).stdout.trim();
    },
  };
}
