/** A pod of a manifest as the kubelet and a container runtime start it on a node of the lab: an OCI configuration. */

import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { loadAll } from 'js-yaml';

interface EnvVar {
  readonly name: string;
  readonly value?: string;
  readonly valueFrom?: { readonly fieldRef: { readonly fieldPath: string } };
}

export interface ContainerSpec {
  readonly name: string;
  readonly image: string;
  readonly command?: readonly string[];
  readonly args?: readonly string[];
  readonly env?: readonly EnvVar[];
  readonly securityContext?: {
    readonly readOnlyRootFilesystem?: boolean;
    readonly allowPrivilegeEscalation?: boolean;
    readonly capabilities?: { readonly add?: readonly string[]; readonly drop?: readonly string[] };
  };
  readonly volumeMounts?: readonly {
    readonly name: string;
    readonly mountPath: string;
    readonly readOnly?: boolean;
  }[];
}

interface Volume {
  readonly name: string;
  readonly hostPath?: { readonly path: string; readonly type?: string };
  readonly configMap?: { readonly name: string };
}

export interface PodSpec {
  readonly initContainers?: readonly ContainerSpec[];
  readonly containers: readonly ContainerSpec[];
  readonly volumes: readonly Volume[];
}

interface Resource {
  readonly kind: string;
  readonly metadata: { readonly name: string };
  readonly spec?: { readonly template: { readonly spec: PodSpec } };
  readonly data?: Record<string, string>;
}

/** What the kubelet knows besides the manifest. */
export interface PodPlace {
  /** Folder for the host's files of this node: `<host>/run/flannel` stands for /run/flannel. */
  readonly host: string;
  /** Values of `fieldPath`: `spec.nodeName`, `metadata.name`, … */
  readonly fields: Readonly<Record<string, string>>;
  readonly configMaps: Readonly<Record<string, Record<string, string>>>;
  /** Further variables: those of the API server in a pod with a service account. */
  readonly env?: Readonly<Record<string, string>>;
  /** Files of the service account, by name. */
  readonly serviceAccount?: Readonly<Record<string, string>>;
}

/** What the image's configuration sets. */
export interface ImageDefaults {
  readonly entrypoint: readonly string[];
  readonly env: readonly string[];
}

/** The capabilities of a container whose manifest does not drop them (containerd, oci/spec.go, defaultUnixCaps). */
const DEFAULT_CAPABILITIES = [
  ...['CHOWN', 'DAC_OVERRIDE', 'FSETID', 'FOWNER', 'MKNOD', 'NET_RAW', 'SETGID', 'SETUID', 'SETFCAP'],
  ...['SETPCAP', 'NET_BIND_SERVICE', 'SYS_CHROOT', 'KILL', 'AUDIT_WRITE'],
];

/** Host paths that every node of the lab shares: they are the kernel's. */
const KERNEL_PATHS = ['/dev/net/tun', '/proc/sys/net', '/lib/modules'];
/** A host path for which a file system of each node is mounted. */
export const BPF_PATH = '/sys/fs/bpf';

const SERVICE_ACCOUNT = '/var/run/secrets/kubernetes.io/serviceaccount';

/** What a runtime hides from a container that is not privileged (containerd, oci/spec.go). */
const MASKED = ['/proc/kcore', '/proc/keys', '/proc/timer_list', '/sys/firmware'];
const READ_ONLY = ['/proc/bus', '/proc/fs', '/proc/irq', '/proc/sys', '/proc/sysrq-trigger'];

/** Returns the pod of a manifest's DaemonSet, and the manifest's ConfigMaps. */
export function readManifest(text: string): { pod: PodSpec; configMaps: PodPlace['configMaps'] } {
  const resources = loadAll(text).filter(Boolean) as Resource[];
  const pod = resources.find(({ kind }) => kind === 'DaemonSet')?.spec?.template.spec;
  if (pod === undefined) throw new Error('the manifest has no DaemonSet');
  const maps = resources.filter(({ kind }) => kind === 'ConfigMap');
  return {
    pod,
    configMaps: Object.fromEntries(maps.map(({ metadata, data = {} }) => [metadata.name, data])),
  };
}

/** Returns the capabilities of a container, by their names with CAP_. */
export function capabilitiesOf({ securityContext }: ContainerSpec): string[] {
  const { add = [], drop = [] } = securityContext?.capabilities ?? {};
  const kept = DEFAULT_CAPABILITIES.filter((name) => !drop.includes('ALL') && !drop.includes(name));
  return [...new Set([...kept, ...add])].map((name) => `CAP_${name}`);
}

/** Returns the OCI configuration of a container, and makes the files of its volumes. */
export function ociConfig(
  pod: PodSpec,
  container: ContainerSpec,
  place: PodPlace,
  image: ImageDefaults,
  capabilities = capabilitiesOf(container),
): object {
  const { command, args, env = [], securityContext = {}, volumeMounts = [] } = container;
  const variables = env.map(
    ({ name, value, valueFrom }) => `${name}=${value ?? place.fields[valueFrom?.fieldRef.fieldPath ?? '']}`,
  );
  const given = Object.entries(place.env ?? {}).map(([name, value]) => `${name}=${value}`);
  const volumes = volumeMounts.map(({ name, mountPath, readOnly = false }) => {
    const volume = pod.volumes.find((candidate) => candidate.name === name);
    if (volume === undefined) throw new Error(`container ${container.name} mounts no volume ${name}`);
    return bind(sourceOf(volume, place), mountPath, readOnly || volume.configMap !== undefined);
  });
  if (place.serviceAccount !== undefined) {
    const source = `${place.host}/service-account`;
    writeFiles(source, place.serviceAccount);
    volumes.push(bind(source, SERVICE_ACCOUNT, true));
  }
  return {
    ociVersion: '1.0.0',
    process: {
      user: { uid: 0, gid: 0 },
      args: [...(command ?? image.entrypoint), ...(args ?? [])],
      env: [...image.env, ...given, ...variables],
      cwd: '/',
      capabilities: { bounding: capabilities, effective: capabilities, permitted: capabilities },
      noNewPrivileges: securityContext.allowPrivilegeEscalation === false,
    },
    root: { path: 'rootfs', readonly: securityContext.readOnlyRootFilesystem === true },
    mounts: [
      { destination: '/proc', type: 'proc', source: 'proc', options: ['nosuid', 'noexec', 'nodev'] },
      { destination: '/dev', type: 'tmpfs', source: 'tmpfs', options: ['nosuid', 'mode=755', 'size=64k'] },
      {
        destination: '/dev/pts',
        type: 'devpts',
        source: 'devpts',
        options: ['newinstance', 'ptmxmode=0666'],
      },
      { destination: '/sys', type: 'sysfs', source: 'sysfs', options: ['nosuid', 'noexec', 'nodev', 'ro'] },
      ...volumes,
    ],
    // The network is that of the node: hostNetwork. Resource limits need a cgroup, which not every machine can give.
    linux: {
      namespaces: ['pid', 'mount', 'ipc', 'uts'].map((type) => ({ type })),
      maskedPaths: MASKED,
      readonlyPaths: READ_ONLY,
    },
  };
}

function bind(source: string, destination: string, readOnly: boolean): object {
  return { destination, type: 'bind', source, options: ['rbind', readOnly ? 'ro' : 'rw'] };
}

/** Returns the path of a volume's files, and makes what the kubelet makes. */
function sourceOf({ name, hostPath, configMap }: Volume, { host, configMaps }: PodPlace): string {
  if (configMap !== undefined) {
    const files = configMaps[configMap.name];
    if (files === undefined) throw new Error(`volume ${name}: no ConfigMap ${configMap.name}`);
    const folder = `${host}/config-maps/${configMap.name}`;
    writeFiles(folder, files);
    return folder;
  }
  if (hostPath === undefined) throw new Error(`volume ${name} is neither a host path nor a ConfigMap`);
  const { path, type = '' } = hostPath;
  if (KERNEL_PATHS.includes(path)) return path;
  if (type.startsWith('File')) {
    mkdirSync(dirname(host + path), { recursive: true });
    writeFileSync(host + path, '', { flag: 'a' });
  } else mkdirSync(host + path, { recursive: true });
  return host + path;
}

function writeFiles(folder: string, files: Readonly<Record<string, string>>): void {
  mkdirSync(folder, { recursive: true });
  for (const [name, content] of Object.entries(files)) writeFileSync(`${folder}/${name}`, content);
}
