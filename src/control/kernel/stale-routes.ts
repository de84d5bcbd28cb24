/**
 * Routes that an earlier flanneld or Weft left behind. Direct routes (DirectRouting, host-gw) do not disappear with the
 * device. A killed process, or one that lost its journal, cannot remove them.
 */

import { type Cidr, contains, formatCidr, parseCidr } from '../addresses/cidr.js';
import { familyFlag } from '../addresses/family.js';
import { familyOf } from '../addresses/ip.js';
import { info } from '../support/log.js';
import { deleteRoutes, ipJson } from './ip.js';
import type { Route } from './snapshot.js';

/** Attributes that flannel never sets: a route with one of them belongs to another program. */
interface AttributedRoute extends Route {
  tos?: string;
  prefsrc?: string;
  metrics?: object[];
  expires?: number;
}

/** The metric that an IPv6 route gets by default (IP6_RT_PRIO_USER, include/uapi/linux/ipv6_route.h). */
const METRIC6 = 1024;

/**
 * Removes routes in flannel's form to subnets without a node. Such a route is inside the pod network, has the size of a
 * node's subnet, and uses a gateway. It comes from no routing daemon and has the default metric. Call it only at the
 * start: later such a route has another owner.
 */
export async function removeStaleRoutes(
  { network, device }: { network: Cidr; device: string },
  own: Cidr,
  leased: readonly Cidr[],
): Promise<void> {
  const routes = await ipJson<AttributedRoute>(
    `${familyFlag(familyOf(network.base))} route show root ${formatCidr(network)} proto boot`,
  );
  const kept = new Set([own, ...leased].map(formatCidr));
  const stale = routes.filter(({ dst, gateway, dev, metric, tos, prefsrc, metrics, expires }) => {
    const subnet = parseCidr(String(dst));
    return (
      subnet?.prefixLength === own.prefixLength &&
      contains(network, subnet) &&
      gateway !== undefined &&
      dev !== device &&
      (tos ?? prefsrc ?? metrics ?? expires) === undefined &&
      (metric ?? METRIC6) === METRIC6 &&
      !kept.has(dst)
    );
  });
  for (const { dst, gateway } of stale)
    info(`removing the route to ${dst} via ${gateway}: no node has this subnet`);
  await deleteRoutes(stale.map(({ dst, gateway }) => `${dst} via ${gateway}`));
}
