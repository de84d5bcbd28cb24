/** DirectRouting: which peers are on a network of this node, by the kernel's own routing decision. */

import { formatIp, type Ip, parseIp } from '../addresses/ip.js';
import { ipLookups } from './ip.js';

/** What reaches peers without a gateway. */
export interface DirectReach {
  /** The addresses on a network of this node. */
  direct: ReadonlySet<Ip>;
  /** Interfaces that lead to addresses without a gateway, and yet are no network that peers share. */
  unshared: readonly string[];
}

/** A link or a route as `ip -json` prints it. */
type Answer =
  | { ifname: string; flags?: string[] }
  | { dst: string; dev?: string; gateway?: string; via?: unknown };

/**
 * Finds those of `addresses` that the kernel reaches without a gateway. A link without neighbours does not count: a VPN
 * carries only addresses that its configuration names, and those of pods are not among them. @throws UserError if `ip`
 * cannot be run
 */
export async function directlyReachable(
  addresses: readonly Ip[],
  signal?: AbortSignal,
): Promise<DirectReach> {
  if (addresses.length === 0) return { direct: new Set(), unshared: [] };
  const answers = await ipLookups<Answer>(
    ['link show', ...addresses.map((address) => `route get ${formatIp(address)}`)],
    signal,
  );
  // IFF_POINTOPOINT and IFF_NOARP (linux/if.h).
  const links = answers.filter((answer) => 'ifname' in answer);
  const withoutNeighbours = new Set(
    links
      .filter(({ flags }) => flags?.includes('POINTOPOINT') || flags?.includes('NOARP'))
      .map(({ ifname }) => ifname),
  );
  const direct = new Set<Ip>();
  const unshared = new Set<string>();
  for (const answer of answers) {
    if ('ifname' in answer || answer.gateway !== undefined || answer.via !== undefined) continue;
    const address = parseIp(String(answer.dst));
    if (address === undefined) continue;
    if (answer.dev !== undefined && withoutNeighbours.has(answer.dev)) unshared.add(answer.dev);
    else direct.add(address);
  }
  return { direct, unshared: [...unshared] };
}
