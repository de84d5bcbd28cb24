/** The naive Node dataplane of bench/naive on a node. */

import { ipBatch } from '../ip.js';
import type { VxlanLease } from '../leases.js';
import type { LabNode } from '../node.js';
import { type Dataplane, DEVICE, deviceLines, programPeers } from './dataplane.js';
import { startScript } from './script.js';

/** Starts the naive dataplane on a node: iproute2 creates a persistent TAP, and a process copies packets one by one. */
export async function startNaive(
  node: LabNode,
  options: { readonly peers?: readonly VxlanLease[] } = {},
): Promise<Dataplane> {
  const peers = options.peers ?? node.peers();
  await ipBatch(node.netns, [
    `tuntap add ${DEVICE} mode tap`,
    `link set ${DEVICE} address ${node.vtepMac} mtu ${node.podMtu}`,
    ...deviceLines(node),
  ]);
  const dataplane = await startScript(node, 'naive', DEVICE, peers);
  await programPeers(node, peers, { fdb: false });
  return dataplane;
}
