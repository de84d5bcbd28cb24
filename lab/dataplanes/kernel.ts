/** The kernel's vxlan, set up as flanneld does: the peer that everything is compared with. */

import { succeeds } from '../exec.js';
import { ipBatch } from '../ip.js';
import type { VxlanLease } from '../leases.js';
import type { LabNode } from '../node.js';
import { type Dataplane, DEVICE, deviceLines, programPeers } from './dataplane.js';

export interface KernelOptions {
  /** Outer UDP checksums; true is the kernel's default, which flanneld keeps. */
  readonly udpcsum?: boolean;
  /** Underlay address, of IPv4 or IPv6; the node's own when left out. */
  readonly local?: string;
  /** Peers to program; the lab's other nodes when left out. */
  readonly peers?: readonly VxlanLease[];
}

/** Starts kernel vxlan on a node. */
export async function startKernel(node: LabNode, options: KernelOptions = {}): Promise<Dataplane> {
  const checksum = (options.udpcsum ?? true) ? 'udpcsum' : 'noudpcsum';
  await ipBatch(node.netns, [
    `link add ${DEVICE} address ${node.vtepMac} mtu ${node.podMtu} type vxlan id 1 dev ${node.iface} ` +
      `local ${options.local ?? node.address} dstport 8472 nolearning ${checksum}`,
    ...deviceLines(node),
  ]);
  let stopped = false;
  const dataplane: Dataplane = {
    kind: 'kernel',
    node,
    pids: () => [],
    tail: () => '',
    async stop() {
      if (stopped) return;
      stopped = true;
      // Another dataplane may have taken its place.
      await succeeds(['ip', 'link', 'delete', DEVICE, 'type', 'vxlan'], { netns: node.netns });
    },
  };
  node.own(dataplane);
  await programPeers(node, options.peers ?? node.peers(), { fdb: true });
  return dataplane;
}

/** Returns true if this kernel can create a vxlan device: creates one in the world's own namespace and deletes it. */
export async function kernelHasVxlan(): Promise<boolean> {
  if (!(await succeeds(['ip', 'link', 'add', 'weft-probe', 'type', 'vxlan', 'id', '1', 'dstport', '8472'])))
    return false;
  return await succeeds(['ip', 'link', 'delete', 'weft-probe']);
}
