/** Which nodes are on a network this node is on too, by the kernel's own routing decision. */

import { formatIpv4, type Ipv4, parseIpv4 } from '../ipv4.js';
import { ipLookups } from './ip.js';

/** Those of `addresses` that the kernel reaches without a gateway. @throws UserError when ip cannot be run */
export async function directlyReached(addresses: readonly Ipv4[]): Promise<Set<Ipv4>> {
  const routes = await ipLookups<{ dst: string; gateway?: string; via?: unknown }>(
    addresses.map((address) => `route get ${formatIpv4(address)}`),
  );
  const direct = routes.filter(({ gateway, via }) => gateway === undefined && via === undefined);
  return new Set(direct.map(({ dst }) => parseIpv4(dst) as Ipv4));
}
