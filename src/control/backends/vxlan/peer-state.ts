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

/** The texts of a lease in all its objects. */
interface LeaseTexts {
  /** Base of the subnet: the address of the neighbour. */
  base: string;
  subnet: string;
}

/** Leases that do not change are the same objects from set to set, so that their texts are made once. */
const TEXTS = new WeakMap<Lease, LeaseTexts>();

export function textsOf(lease: Lease): LeaseTexts {
  const known = TEXTS.get(lease);
  if (known !== undefined) return known;
  const { subnet } = lease;
  const texts = { base: formatIp(subnet.base), subnet: formatCidr(subnet) };
  TEXTS.set(lease, texts);
  return texts;
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
    const { publicIp } = lease;
    const vtepMac = vtepMacOf(lease);
    const { base, subnet } = textsOf(lease);
    // A direct peer needs its FDB entry too: it may itself send through the tunnel.
    state.fdb.set(vtepMac, publicIp);
    if (direct.has(publicIp)) {
      state.routes.set(subnet, directRoute(formatIp(publicIp)));
    } else {
      state.neighbours.set(base, vtepMac);
      state.routes.set(subnet, tunnelRoute(base, device));
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
  const outside: string[] = [];
  routes.forEach((routeSpec, subnet) => {
    if (!usesDevice(routeSpec, device)) outside.push(`${subnet} ${routeSpec}`);
  });
  return outside;
}

export function gatewayOf(routeSpec: string): string {
  const [via, gateway] = routeSpec.split(' ');
  return via === 'via' && gateway !== undefined ? gateway : routeSpec;
}

export function usesDevice(routeSpec: string, device: string): boolean {
  const at = routeSpec.indexOf('dev ');
  if (at !== 0 && routeSpec[at - 1] !== ' ') return false;
  const end = at + 4 + device.length;
  return routeSpec.startsWith(device, at + 4) && (end === routeSpec.length || routeSpec[end] === ' ');
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
  const macs = new Map<string, string>();
  for (const { dst, dev, lladdr = '' } of neighbours) if (dev === device) macs.set(dst, lladdr);
  // The kernel uses the first route of the lowest metric.
  const used = new Map<string, Route>();
  for (const route of routes) {
    // The kernel adds fe80::/64 and a route for each address itself.
    if (route.dev === device && route.protocol === 'kernel') continue;
    const other = used.get(route.dst);
    if (other === undefined || metricOf(route) < metricOf(other)) used.set(route.dst, route);
  }
  const specs = new Map<string, string>();
  used.forEach((route, subnet) => {
    specs.set(subnet, routeSpecOf(route, device));
  });
  return { neighbours: macs, routes: specs };
}
