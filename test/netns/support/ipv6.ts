/** IPv6 for pods over an IPv4 tunnel: addresses, routes and neighbours set by hand. */

import { ipBatch, sysctl } from '../../../lab/ip.js';
import type { Lab } from '../../../lab/lab.js';
import type { LabNode, Pod } from '../../../lab/node.js';
import { ping } from '../../../lab/traffic/ping.js';
import { until } from '../../../lab/until.js';

/**
 * Sets an IPv6 address of the first pod of both nodes of a lab made with `ipv6`, and routes to it, while Weft runs.
 * Returns these pods with that address; may be called again for other Weft processes.
 */
export async function withIpv6(lab: Lab): Promise<readonly [Pod, Pod]> {
  const address = (node: LabNode) => `fd00:244:${node.index}::11`;
  for (const node of lab.nodes) {
    await sysctl(node.netns, { 'net/ipv6/conf/all/forwarding': 1 });
    const peer = lab.node(3 - node.index);
    await ipBatch(node.netns, [
      `address replace fd00:244:${node.index}::/128 dev flannel.1 nodad`,
      `address replace fd00:244:${node.index}::1/64 dev cni0 nodad`,
      `neigh replace fd00:244:${peer.index}:: lladdr ${peer.vtepMac} dev flannel.1 nud permanent`,
      `route replace fd00:244:${peer.index}::/64 via fd00:244:${peer.index}:: dev flannel.1 onlink`,
    ]);
    await ipBatch(lab.pod(node.index).netns, [
      `address replace ${address(node)}/64 dev eth0 nodad`,
      `route replace default via fd00:244:${node.index}::1`,
    ]);
  }
  // Until the bridge knows its multicast listeners, neighbour discovery may need a second solicitation.
  for (const node of lab.nodes) {
    await until(`${node.name} knows its pod`, async () => {
      const gateway = `fd00:244:${node.index}::1`;
      const { received } = await ping(lab.pod(node.index).netns, gateway, { count: 1, wait: 0.5 });
      return received === 1;
    });
  }
  const pod = (node: LabNode): Pod => ({ ...lab.pod(node.index), address: address(node) });
  return [pod(lab.node(1)), pod(lab.node(2))];
}
