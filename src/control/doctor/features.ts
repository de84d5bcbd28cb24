/** The features of this kernel that decide how Weft forwards, and with which offload level. */

import { statSync } from 'node:fs';
import { release } from 'node:os';
import { bpfFileSystem, isBpfFileSystem, supportsGso } from '../../dataplane/dataplane.js';
import { type Capability, hasCapability } from '../../sys/capabilities.js';
import { isAtLeast, kernelVersion } from '../../sys/kernel-version.js';
import { kernelObstacle } from '../fast-path-obstacle.js';
import { read } from '../support/proc-files.js';
import { type Finding, ok } from './finding.js';

/** Since this kernel a tun device has UDP superpackets (TUN_F_USO4). */
const USO_KERNEL = [6, 2, 0] as const;

export interface Features {
  /** The kernel's own vxlan: with it flanneld itself works. */
  vxlan: 'loaded' | 'available' | 'absent' | 'unknown';
  tun: boolean;
  /** UDP_SEGMENT and UDP_GRO. */
  udpGso: boolean;
  /** TCP and UDP superpackets of the tun device. */
  tso: boolean;
  uso: boolean;
  /** Whether this kernel accepts the programs of the fast path, and why not. */
  bpf: boolean;
  bpfReason: string | null;
  /** Whether a BPF file system is mounted, in a container that of its host. */
  bpffs: boolean;
  /** What this process may do. */
  capabilities: string[];
}

/** Reads the features; `tun` is whether the tun driver opens. */
export function readFeatures(tun: boolean): Features {
  const udpGso = supportsGso();
  const bpfReason = kernelObstacle();
  return {
    vxlan: vxlanModule(),
    tun,
    udpGso,
    // A tun device has TSO since 2.6.27, with the virtio-net header that UDP_SEGMENT's kernels have too.
    tso: tun,
    uso: tun && isAtLeast(kernelVersion(), USO_KERNEL),
    bpf: bpfReason === null,
    bpfReason,
    bpffs: isBpfFileSystem(bpfFileSystem()),
    capabilities: ownCapabilities(),
  };
}

/** Returns the level of the forwarding threads. */
export function userspaceLevel({ tun, udpGso }: Features, offload: string): 'none' | 'gso' {
  return tun && udpGso && offload !== 'none' ? 'gso' : 'none';
}

/** Returns a line for each feature. */
export function featureLines(features: Features): Finding[] {
  const { vxlan, udpGso, tso, uso, bpf, bpfReason, bpffs, capabilities } = features;
  const has = (is: boolean): string => (is ? 'yes' : 'no');
  const vxlanText = {
    loaded: 'loaded; flanneld itself would work here',
    available: 'available; flanneld itself would work here',
    absent: 'absent; Weft does not need it',
    unknown: 'not loaded; modprobe vxlan on the node tells whether it is available',
  };
  const pins = bpffs ? `pins in ${bpfFileSystem()}` : 'no BPF file system, so filters instead of pins';
  const bpfText = bpf ? `yes; ${pins}` : `no (${bpfReason})`;
  return [
    ok('capabilities', `capabilities: ${capabilities.join(' ') || 'none'}`),
    ok('vxlan', `vxlan module: ${vxlanText[vxlan]}`),
    ok('udp-offload', `UDP GSO and GRO: ${has(udpGso)}; TSO: ${has(tso)}; USO: ${has(uso)}`),
    ok('bpf', `BPF: ${bpfText}`),
  ];
}

/**
 * Returns whether the kernel has the vxlan module, in memory or on disk: unknown where a container hides the modules.
 * `root` is / or a copy for tests.
 */
export function vxlanModule(root = '/', kernel = release()): Features['vxlan'] {
  if (isDirectory(`${root}sys/module/vxlan`)) return 'loaded';
  const modules = `${root}lib/modules/${kernel}`;
  if (!isDirectory(`${root}sys/module`) || !isDirectory(modules)) return 'unknown';
  const lists = ['modules.dep', 'modules.builtin'].map((name) => read(`${modules}/${name}`));
  return lists.some((text) => /\/vxlan(?:\/vxlan)?\.ko/.test(text)) ? 'available' : 'absent';
}

/** Capabilities that have a use in Weft, in the order of their numbers. */
const USEFUL: readonly Capability[] = [
  'CAP_NET_ADMIN',
  'CAP_NET_RAW',
  'CAP_SYS_MODULE',
  'CAP_SYS_ADMIN',
  'CAP_PERFMON',
  'CAP_BPF',
];

function ownCapabilities(): string[] {
  return USEFUL.filter(hasCapability).map((name) => name.replace('CAP_', ''));
}

function isDirectory(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() === true;
}
