/** DirectRouting: which peers are on a network of this node, by the kernel's own routing decision. */

import { formatIp, type Ip, parseIp } from '../addresses/ip.js';
import { ipLookups } from './ip.js';

/** Returns those of `addresses` that the kernel reaches without a gateway. @throws UserError if `ip` cannot be run */
export async function directlyReachable(addresses: readonly Ip[]): Promise<Set<Ip>> {
  const routes = await ipLookups<{ dst: string; gateway?: string; via?: unknown }>(
    addresses.map((address) => `route get ${formatIp(address)}`),
  );
  const direct = routes
    .filter(({ gateway, via }) => gateway === undefined && via === undefined)
    .map(({ dst }) => parseIp(dst));
  return new Set(direct.filter((address) => address !== undefined));
}
