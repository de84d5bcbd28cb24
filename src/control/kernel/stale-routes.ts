/**
 * Routes that an earlier flanneld or weft has left: direct ones (DirectRouting, host-gw) do not go with the device, and who
 * was killed, or has lost its notes, removes none.
 */

import { type Cidr, contains, formatCidr, parseCidr } from '../addresses/cidr.js';
import { familyFlag } from '../addresses/family.js';
import { familyOf } from '../addresses/ip.js';
import { info } from '../support/log.js';
import { deleteRoutes, ipJson } from './ip.js';

interface IpRoute {
  dst: string;
  gateway?: string;
  dev?: string;
  metric?: number;
  tos?: string;
  prefsrc?: string;
  metrics?: object[];
  expires?: number;
}

/** What the kernel gives an IPv6 route that asks for none (IP6_RT_PRIO_USER, include/uapi/linux/ipv6_route.h). */
const METRIC6 = 1024;

export interface Expected {
  /** The pod network of the cluster. */
  network: Cidr;
  device: string;
  own: Cidr;
  /** Subnets whose routes are seen to elsewhere. */
  leased: readonly Cidr[];
}

/**
 * Removes routes in flannel's form to subnets that no node has: inside the pod network, of a node's size, through a
 * gateway, by no routing daemon and without a metric of their own. Only of a start: later such a route has another author.
 */
export async function removeStaleRoutes({ network, device, own, leased }: Expected): Promise<void> {
  const family = familyOf(network.base);
  const routes = await ipJson<IpRoute>(
    ...[familyFlag(family), 'route', 'show', 'root', formatCidr(network), 'proto', 'boot'],
  );
  const kept = new Set([own, ...leased].map(formatCidr));
  const stale = routes.filter(({ dst, gateway, dev, metric, tos, prefsrc, metrics, expires }) => {
    const subnet = parseCidr(dst);
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
