/**
 * What diverts the underlay into the tunnel. A DHCP client that runs on every interface gives the overlay device an
 * address of the LAN, and routes. The kernel then sends the tunnel's own datagrams into the tunnel.
 */

import { baseOf, type Cidr, contains, containsAddress, formatCidr, parseCidr } from '../addresses/cidr.js';
import { bitsOf, type Family } from '../addresses/family.js';
import { familyOf, formatIp, type Ip, isLinkLocal, parseIp } from '../addresses/ip.js';
import { ipBatch } from './ip.js';
import type { Repairs } from './repairs.js';
import { type KernelSnapshot, metricOf, type Route } from './snapshot.js';

/** Returns whether the network of an address or route contains one of the underlay's addresses; `default` always does. */
export function diverts({ base, prefixLength }: Cidr, underlay: readonly Ip[]): boolean {
  const network = { base: baseOf(base, prefixLength), prefixLength };
  if (prefixLength === 0) return true;
  return underlay.some((address) => containsAddress(network, address));
}

/**
 * Returns the gateways of all routes that use no overlay device. An IPv6 gateway is mostly link-local: then its route
 * names its interface, and nothing on another interface can divert it.
 */
export function gatewaysOf(routes: readonly Route[], devices: readonly string[]): Ip[] {
  const gateways = routes
    .filter(({ dev }) => dev === undefined || !devices.includes(dev))
    .flatMap(({ gateway, nexthops = [] }) => [gateway, ...nexthops.map((hop) => hop.gateway)])
    .map((gateway) => parseIp(gateway ?? ''))
    .filter((gateway) => gateway !== undefined);
  return [...new Set(gateways)].filter((gateway) => familyOf(gateway) === 'ipv4' || !isLinkLocal(gateway));
}

/** The overlay device whose family is checked, and the node's overlay devices of both families. */
export interface OverlayDevices {
  family: Family;
  device: string;
  devices: readonly string[];
  /** The pod network: routes in it are the backend's. */
  network: Cidr;
}

/**
 * Removes routes over the overlay devices that divert the underlay, default routes among them, and addresses of the
 * other family's device. The device's own addresses are repaired with it. @throws UserError if `ip` cannot be run
 */
export async function removeDiversions(
  { family, device, devices, network }: OverlayDevices,
  { links, routes }: Pick<KernelSnapshot, 'links' | 'routes'>,
  underlay: readonly Ip[],
): Promise<Repairs> {
  const addresses = links
    .filter(({ name }) => name !== device && devices.includes(name))
    .flatMap(({ name, assigned }) =>
      assigned
        .filter(({ address, prefixLength }) => diverts({ base: address, prefixLength }, underlay))
        .map(
          ({ address, prefixLength }) => `address delete ${formatIp(address)}/${prefixLength} dev ${name}`,
        ),
    );
  const diverting = routes.flatMap((route) => {
    const { dev, protocol } = route;
    // The kernel's own routes disappear with their address.
    if (dev === undefined || !devices.includes(dev) || protocol === 'kernel') return [];
    const destination = destinationOf(route.dst, family);
    if (destination === undefined || contains(network, destination)) return [];
    // A peer's route, via the base of its subnet, which may be outside the pod network.
    if (route.gateway === formatIp(destination.base)) return [];
    if (!diverts(destination, underlay)) return [];
    const metric = metricOf(route);
    return [`route delete ${formatCidr(destination)} dev ${dev}${metric > 0 ? ` metric ${metric}` : ''}`];
  });
  // A failure is no error: the kernel deletes a route together with its preferred source.
  await ipBatch([...addresses, ...diverting]);
  return {
    ...(addresses.length > 0 && { address: addresses.length }),
    ...(diverting.length > 0 && { route: diverting.length }),
  };
}

/** Returns the destination of a route: `default`, a network, or a host without prefix length. */
function destinationOf(text: string, family: Family): Cidr | undefined {
  if (text === 'default') return { base: family === 'ipv4' ? 0 : 0n, prefixLength: 0 };
  return parseCidr(text.includes('/') ? text : `${text}/${bitsOf(family)}`, family);
}
