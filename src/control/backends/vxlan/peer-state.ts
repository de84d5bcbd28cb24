/**
 * What a node has for its peers, or wants: each peer's neighbour, forwarding entry and route, and where they are read from
 * leases and from the kernel.
 */

import { formatCidr } from '../../addresses/cidr.js';
import { type Family, familyFlag } from '../../addresses/family.js';
import { formatIp, type Ip } from '../../addresses/ip.js';
import { ipJson } from '../../kernel/ip.js';
import { type Lease, vtepMacOf } from '../../leases/lease.js';

export interface PeerState {
  /** Subnet base → VTEP MAC. */
  neighbours: Map<string, string>;
  /** VTEP MAC → public IP. */
  fdb: Map<string, Ip>;
  /** Subnet → how to get there: what follows it in `ip route`. */
  routes: Map<string, string>;
}

export function emptyState(): PeerState {
  return { neighbours: new Map(), fdb: new Map(), routes: new Map() };
}

/** What the leases of all peers ask for; those whose public IP is in `direct` are reached without the tunnel. */
export function wantedState(
  device: string,
  peers: readonly Lease[],
  direct: ReadonlySet<Ip> = new Set(),
): PeerState {
  const state = emptyState();
  for (const lease of peers) {
    const { subnet, publicIp } = lease;
    const vtepMac = vtepMacOf(lease);
    const base = formatIp(subnet.base);
    // Also of a direct peer: it may see things differently and send through the tunnel.
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

/** The routes past the device, as `ip route` takes them. */
export function looseRoutesOf({ routes }: PeerState, device: string): string[] {
  return [...routes].filter(([, way]) => !isThrough(way, device)).map(([subnet, way]) => `${subnet} ${way}`);
}

export function gatewayOf(way: string): string {
  return way.startsWith('via ') ? (way.split(' ')[1] as string) : way;
}

export function isThrough(way: string, device: string): boolean {
  return ` ${way} `.includes(` dev ${device} `);
}

interface IpRoute {
  dst: string;
  gateway?: string;
  dev?: string;
  protocol?: string;
  flags?: string[];
  metric?: number;
}

/** What follows the subnet in the command for a route that is there. A direct route names no device, as flannel's. */
function wayOf({ gateway, dev, flags = [] }: IpRoute, device: string): string {
  if (dev !== device) return directRoute(gateway ?? '');
  if (gateway === undefined) return `dev ${device}`;
  return flags.includes('onlink') ? tunnelRoute(gateway, device) : `via ${gateway} dev ${device}`;
}

/** The permanent neighbours of a device, and the routes of the main table, as the kernel has them now. */
export async function readPeerState(
  device: string,
  family: Family,
): Promise<Pick<PeerState, 'neighbours' | 'routes'>> {
  const flag = familyFlag(family);
  const [neighbours, routes] = await Promise.all([
    ipJson<{ dst: string; dev: string; lladdr?: string }>(flag, 'neighbour', 'show', 'nud', 'permanent'),
    ipJson<IpRoute>(flag, 'route', 'show'),
  ]);
  return {
    neighbours: new Map(
      neighbours.filter(({ dev }) => dev === device).map(({ dst, lladdr = '' }) => [dst, lladdr]),
    ),
    routes: new Map(
      routes
        // The kernel's own: fe80::/64, and one for each address.
        .filter(({ dev, protocol }) => dev !== device || protocol !== 'kernel')
        // Of several to one subnet the kernel takes the first of the least metric; in a map the last one counts.
        .reverse()
        .sort((a, b) => (b.metric ?? 0) - (a.metric ?? 0))
        .map((route) => [route.dst, wayOf(route, device)]),
    ),
  };
}
