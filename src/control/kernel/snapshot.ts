/**
 * The kernel's state of one address family, read by one `ip` process. Everything that a check compares comes from one
 * snapshot.
 */

import { type Family, familyFlag } from '../addresses/family.js';
import { ipJsonBatch } from './ip.js';
import { type IpLink, type Link, parseLinks } from './links.js';

export interface KernelSnapshot {
  links: readonly LinkState[];
  /** The permanent neighbours of all devices. */
  neighbours: readonly Neighbour[];
  /** The routes of the main table, in the kernel's order. */
  routes: readonly Route[];
}

/** A link with its addresses of the snapshot's family, whether usable or not. */
export type LinkState = Pick<Link, 'index' | 'name' | 'mac' | 'mtu' | 'up' | 'assigned'> &
  Partial<Pick<Link, 'alias' | 'master'>>;

/** A permanent neighbour as `ip -json` prints it. */
export interface Neighbour {
  dst: string;
  dev: string;
  lladdr?: string;
}

/** A route as `ip -json` prints it, without the attributes that are not set. */
export interface Route {
  /** Absent for a unicast route; else `blackhole`, `unreachable`, `local` … */
  type?: string;
  /** `10.244.2.0/24`, `default`; a host route has no prefix length. */
  dst: string;
  gateway?: string;
  /** Absent for a route with several next hops. */
  dev?: string;
  nexthops?: readonly { gateway?: string }[];
  /** `kernel`, `boot` … */
  protocol?: string;
  metric?: number;
  /** `onlink` … */
  flags?: readonly string[];
}

/** Returns the metric of a route, which iproute2 omits if it is 0. */
export function metricOf({ metric = 0 }: Route): number {
  return metric;
}

/**
 * `address show` omits a link without an address of the family, `link show` lists it. For `route show` the family decides
 * which main table is printed.
 */
const COMMANDS = ['link show', 'address show', 'neighbour show nud permanent', 'route show'] as const;

/** Reads the kernel's state of one family. @throws UserError when `ip` fails */
export async function readSnapshot(family: Family): Promise<KernelSnapshot> {
  const [links, addresses, neighbours, routes] = (await ipJsonBatch(familyFlag(family), COMMANDS)) as [
    IpLink[],
    Pick<IpLink, 'ifindex' | 'addr_info'>[],
    Neighbour[],
    Route[],
  ];
  const infos = new Map(addresses.map(({ ifindex, addr_info = [] }) => [ifindex, addr_info]));
  return {
    links: parseLinks(links.map((link) => ({ ...link, addr_info: infos.get(link.ifindex) ?? [] }))),
    neighbours: neighbours.filter(({ dst, dev }) => typeof dst === 'string' && typeof dev === 'string'),
    routes: routes.filter(({ dst }) => typeof dst === 'string'),
  };
}
