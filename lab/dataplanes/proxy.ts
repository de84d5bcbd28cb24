/** The one-packet-per-call proxy of bench/proxy on a node: the udp backend, built like flannel's own. */

import { ipBatch } from '../ip.js';
import { type Lease, NETWORK } from '../leases.js';
import type { LabNode } from '../node.js';
import type { Dataplane } from './dataplane.js';
import { startScript } from './script.js';

/** The TUN device, as flannel names it. */
const TUN = 'flannel0';
/** Bytes that VXLAN adds and the proxy does not: Ethernet and VXLAN headers. */
const VXLAN_OVER_UDP = 14 + 8;

/** Starts the proxy on a node: iproute2 creates a persistent TUN, and a process copies packets one by one. */
export async function startProxy(
  node: LabNode,
  options: { readonly peers?: readonly Lease[] } = {},
): Promise<Dataplane> {
  await ipBatch(node.netns, [
    `tuntap add ${TUN} mode tun`,
    `link set ${TUN} mtu ${node.podMtu + VXLAN_OVER_UDP} up`,
    `address add ${node.subnetBase}/32 dev ${TUN}`,
    `route add ${NETWORK} dev ${TUN}`,
  ]);
  return await startScript(node, 'proxy', TUN, options.peers ?? node.peers());
}
