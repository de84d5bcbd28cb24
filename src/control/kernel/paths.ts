/** The kernel's paths to the peers: interface and MTU, by its own routing decision. */

import { formatIp, type Ip, parseIp } from '../addresses/ip.js';
import { ipLookups } from './ip.js';

export interface Path {
  ifindex: number;
  /** Bytes of the largest IP packet. */
  mtu: number;
}

/** A link or a route as `ip -json` prints it. */
type Answer =
  | { ifname: string; ifindex: number; mtu: number }
  | {
      dst: string;
      type?: string;
      dev?: string;
      metrics?: { mtu?: number }[];
    };

/**
 * Returns the paths from `source` to those of `addresses` that the kernel reaches by IPv4. Without a path are this node's own
 * addresses, and those without a route. @throws UserError if `ip` cannot be run
 */
export async function pathsTo(addresses: readonly Ip[], source: Ip): Promise<Map<Ip, Path>> {
  const paths = new Map<Ip, Path>();
  if (addresses.length === 0) return paths;
  const from = formatIp(source);
  const answers = await ipLookups<Answer>([
    'link show',
    ...addresses.map((address) => `route get ${formatIp(address)} from ${from}`),
  ]);
  const links = new Map(answers.flatMap((answer) => ('ifname' in answer ? [[answer.ifname, answer]] : [])));
  for (const answer of answers) {
    if ('ifname' in answer || answer.type === 'local') continue;
    const address = parseIp(String(answer.dst));
    const link = links.get(answer.dev ?? '');
    if (address === undefined || link === undefined) continue;
    const mtus = (answer.metrics ?? []).flatMap(({ mtu }) => (mtu === undefined ? [] : [mtu]));
    paths.set(address, { ifindex: link.ifindex, mtu: Math.min(link.mtu, ...mtus) });
  }
  return paths;
}
