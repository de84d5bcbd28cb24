/** A peer whose public IP is an address of this node: the kernel delivers its datagrams here, and they never leave. */

import { formatCidr } from '../addresses/cidr.js';
import { formatIp } from '../addresses/ip.js';
import { readLinks } from '../kernel/links.js';
import { shellWord } from '../support/printable.js';
import type { FamilyFacts, Obstacle } from './obstacle.js';

export async function checkLocalPeers(
  { device, peers }: FamilyFacts,
  signal?: AbortSignal,
): Promise<Obstacle[]> {
  const links = await readLinks(signal).catch(() => []);
  // Weft removes such an address from its own device.
  const owners = new Map(
    links
      .filter(({ name }) => name !== device)
      .flatMap(({ name, assigned }) => assigned.map((entry) => [entry.address, { ...entry, name }] as const)),
  );
  return peers.flatMap(({ subnet, publicIp }) => {
    const owner = owners.get(publicIp);
    if (owner === undefined) return [];
    const address = formatIp(publicIp);
    const fix = `ip address delete ${address}/${owner.prefixLength} dev ${shellWord(owner.name)}`;
    return [
      {
        key: `local peer ${formatCidr(subnet)}`,
        message: `the peer with subnet ${formatCidr(subnet)} has public IP ${address}, which is an address of ${owner.name} on this node, so packets to it never leave; run ${fix}, or correct that node's public IP`,
        fix,
      },
    ];
  });
}
