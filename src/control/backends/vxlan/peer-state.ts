/** The objects of all peers, desired or present: each peer's neighbour, FDB entry and route. */

import { formatCidr } from '../../addresses/cidr.js';
import { formatIp, type Ip } from '../../addresses/ip.js';
import { type KernelSnapshot, metricOf, type Route } from '../../kernel/snapshot.js';
import { type Lease, vtepMacOf } from '../../leases/lease.js';

export interface PeerState {
  /** Subnet base → VTEP MAC. */
  neighbours: Map<string, string>;
  /** VTEP MAC → public IP. */
  fdb: Map<string, Ip>;
  /** Subnet → route spec: what follows the subnet in `ip route replace`. */
  routes: Map<string, string>;
}

export function emptyState(): PeerState {
  return { neighbours: new Map(), fdb: new Map(), routes: new Map() };
}

/**
 * Returns the objects that the leases require. The kernel reaches peers whose public IP is in `direct` without the
 * tunnel.
 */
export function desiredState(
  device: string,
  peers: readonly Lease[],
  direct: ReadonlySet<Ip> = new Set(),
): PeerState {
  const state = emptyState();
  for (const lease of peers) {
    const { subnet, publicIp } = lease;
    const vtepMac = vtepMacOf(lease);
    const base = formatIp(subnet.base);
    // A direct peer needs its FDB entry too: it may itself send through the tunnel.
    state.fdb.set(vtepMac, publicIp);
    if (direct.has(publicIp)) {
      state.routes.set(formatCidr(subnet), directRoute(formatIp(publicIp)));
    } else {
      state.neighbours.set(base, vtepMac);
      state.routes.set(formatCidr(subnet), tunnelRoute(base, device));
    }
  }
  return state;
}

function tunnelRoute(gateway: string, device: string): string {
  return `via ${gateway} dev ${device} onlink`;
}

function directRoute(gateway: string): string {
  return `via ${gateway}`;
}

/** Returns the routes that do not use the device, in the form of `ip route`. */
export function routesOutsideDevice({ routes }: PeerState, device: string): string[] {
  return [...routes]
    .filter(([, routeSpec]) => !usesDevice(routeSpec, device))
    .map(([subnet, routeSpec]) => `${subnet} ${routeSpec}`);
}

export function gatewayOf(routeSpec: string): string {
  const [via, gateway] = routeSpec.split(' ');
  return via === 'via' && gateway !== undefined ? gateway : routeSpec;
}

export function usesDevice(routeSpec: string, device: string): boolean {
  return ` ${routeSpec} `.includes(` dev ${device} `);
}

/** Returns a route's spec. Like flannel's, the spec of a direct route names no device. */
function routeSpecOf({ gateway, dev, flags }: Route, overlay: string): string {
  if (dev !== overlay) return directRoute(gateway ?? '');
  if (gateway === undefined) return `dev ${overlay}`;
  return flags?.includes('onlink') ? tunnelRoute(gateway, overlay) : `via ${gateway} dev ${overlay}`;
}

/** Returns the neighbours of the device, and the routes of the main table. */
export function presentState(
  { neighbours, routes }: KernelSnapshot,
  device: string,
): Pick<PeerState, 'neighbours' | 'routes'> {
  return {
    neighbours: new Map(
      neighbours.filter(({ dev }) => dev === device).map(({ dst, lladdr = '' }) => [dst, lladdr]),
    ),
    routes: new Map(
      routes
        // The kernel adds fe80::/64 and a route for each address itself.
        .filter((route) => route.dev !== device || route.protocol !== 'kernel')
        // The kernel uses the first route of the lowest metric; a map keeps the last one.
        .reverse()
        .sort((a, b) => metricOf(b) - metricOf(a))
        .map((route) => [route.dst, routeSpecOf(route, device)]),
    ),
  };
}
