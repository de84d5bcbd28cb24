/** Which nodes are on a network this node is on too, by the kernel's own routing decision. */

import { formatIp, type Ip, parseIp } from '../addresses/ip.js';
import { ipLookups } from './ip.js';

/** Those of `addresses` that the kernel reaches without a gateway. @throws UserError when ip cannot be run */
export async function directlyReached(addresses: readonly Ip[]): Promise<Set<Ip>> {
  const routes = await ipLookups<{ dst: string; gateway?: string; via?: unknown }>(
    addresses.map((address) => `route get ${formatIp(address)}`),
  );
  const direct = routes.filter(({ gateway, via }) => gateway === undefined && via === undefined);
  return new Set(direct.flatMap(({ dst }) => parseIp(dst) ?? []));
}
