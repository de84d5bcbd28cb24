/**
 * A bridge with an address of another node's subnet. It remains from an earlier subnet of this node: the bridge plugin
 * never changes the address of its bridge, and refuses new pods.
 */

import { containsAddress, formatCidr } from '../addresses/cidr.js';
import { formatIp } from '../addresses/ip.js';
import { readLinks } from '../kernel/links.js';
import { shellWord } from '../support/printable.js';
import type { FamilyFacts, Obstacle } from './obstacle.js';

/** Reports every bridge with an address in the pod network and outside this node's subnet. */
export async function checkBridges(
  { network, subnet }: FamilyFacts,
  signal?: AbortSignal,
): Promise<Obstacle[]> {
  const links = await readLinks(signal).catch(() => []);
  return links
    .filter(({ kind }) => kind === 'bridge')
    .flatMap(({ name, assigned }) =>
      assigned
        .filter(({ address }) => containsAddress(network, address) && !containsAddress(subnet, address))
        .map(({ address, prefixLength }) => ({
          key: `bridge ${name} ${formatIp(address)}`,
          message: `the bridge ${name} has address ${formatIp(address)}/${prefixLength}, and this node's subnet is ${formatCidr(subnet)}: other nodes do not reach its pods; drain the node's pods, then run ip link delete ${shellWord(name)} (the next pod recreates it)`,
          fix: `ip link delete ${shellWord(name)}`,
        })),
    );
}
