// The one-packet-per-call proxy of bench/proxy on a node: flannel's udp backend as flannel does it.

import { ipBatch } from '../ip.js';
import { type Lease, NETWORK, writeLeases } from '../leases.js';
import type { LabNode } from '../node.js';
import { DIST } from '../world.js';
import type { Dataplane } from './dataplane.js';

/** The TUN device, as flannel names it. */
const TUN = 'flannel0';
/** What VXLAN adds more than the proxy does: Ethernet and VXLAN headers. */
const VXLAN_OVER_UDP = 14 + 8;

/** Starts the proxy on a node: a persistent TUN made by iproute2, a process that copies packets one by one. */
export async function startProxy(
  node: LabNode,
  options: { readonly peers?: readonly Lease[] } = {},
): Promise<Dataplane> {
  const file = `${node.dir}/proxy.json`;
  await writeLeases(file, options.peers ?? node.peers());
  await ipBatch(node.netns, [
    `tuntap add ${TUN} mode tun`,
    `link set ${TUN} mtu ${node.podMtu + VXLAN_OVER_UDP} up`,
    `address add ${node.subnetBase}/32 dev ${TUN}`,
    `route add ${NETWORK} dev ${TUN}`,
  ]);
  const running = node.start([process.execPath, `${DIST}bench/proxy/proxy.js`, TUN, node.address, file], {
    name: `udp proxy on ${node.name}`,
  });
  let stopped = false;
  const dataplane: Dataplane = {
    kind: 'proxy',
    node,
    pids: () => (running.ended === undefined ? [running.pid] : []),
    tail: () => running.tail(),
    async stop() {
      if (stopped) return;
      stopped = true;
      await running.stop('SIGKILL');
      await ipBatch(node.netns, [`link delete ${TUN}`]);
    },
  };
  node.own(dataplane);
  await running.waitFor(/proxy: ready/);
  return dataplane;
}
