/** DirectRouting over a link without neighbours, where Weft does not use it. */

import { directlyReachable } from '../kernel/direct-routes.js';
import type { FamilyFacts, Obstacle } from './obstacle.js';

export async function checkDirectRouting(
  { directRouting, peers }: FamilyFacts,
  signal?: AbortSignal,
): Promise<Obstacle[]> {
  if (!directRouting) return [];
  const addresses = peers.map(({ publicIp }) => publicIp);
  const { unshared } = await directlyReachable(addresses, signal).catch(() => ({ unshared: [] }));
  return unshared.map((link) => ({
    key: `direct routing ${link}`,
    message: `DirectRouting is not used over ${link}: a point-to-point link, or one without ARP, may refuse the addresses of pods, so that peers there are reached through the tunnel; set DirectRouting to false in net-conf.json, or use an Ethernet underlay`,
  }));
}
