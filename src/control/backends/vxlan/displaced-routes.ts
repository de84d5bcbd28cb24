/**
 * Connected routes that a peer's route replaced. A bridge keeps its address when another node gets this node's subnet, and
 * the kernel adds the connected route only once, with the address.
 */

import { baseOf, formatCidr } from '../../addresses/cidr.js';
import { familyOf, formatIp } from '../../addresses/ip.js';
import type { KernelSnapshot } from '../../kernel/snapshot.js';
import { isIpWord } from '../../support/command-input.js';

/**
 * Returns the commands that restore these routes. IPv4: behind the peer's route, so that the route outlives the peer and
 * Weft. IPv6: once the peer leaves, because the kernel refuses the peer's gateway beside it (ip6_route_check_nh_onlink).
 * `routed` has the subnets to which Weft ever added a route, `desired` those of the present peers.
 */
export function displacedRoutes(
  device: string,
  routed: ReadonlySet<string>,
  desired: ReadonlyMap<string, unknown>,
  { links, routes }: KernelSnapshot,
): string[] {
  return links
    .filter(({ name }) => name !== device && isIpWord(name))
    .flatMap(({ name, assigned }) =>
      assigned.flatMap(({ address, prefixLength }) => {
        const subnet = formatCidr({ base: baseOf(address, prefixLength), prefixLength });
        if (!routed.has(subnet)) return [];
        if (routes.some(({ dst, dev, protocol }) => dst === subnet && dev === name && protocol === 'kernel'))
          return [];
        const route = `${subnet} dev ${name} proto kernel`;
        if (familyOf(address) === 'ipv4')
          return [`route append ${route} scope link src ${formatIp(address)}`];
        return desired.has(subnet) ? [] : [`route add ${route} metric 256`];
      }),
    );
}
