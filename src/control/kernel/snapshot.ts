/**
 * The kernel's state of one address family, read by one `ip` process. Everything that a check compares comes from one
 * snapshot.
 */

import type { Family } from '../addresses/family.js';
import { familyFlag } from '../addresses/family.js';
import { type Ip, parseIp } from '../addresses/ip.js';
import { ipJsonBatch } from './ip.js';

export interface KernelSnapshot {
  links: readonly LinkState[];
  /** The permanent neighbours of all devices. */
  neighbours: readonly Neighbour[];
  /** The routes of the main table, in the kernel's order. */
  routes: readonly Route[];
}

export interface LinkState {
  index: number;
  name: string;
  mac: string;
  mtu: number;
  /** IFF_UP. */
  up: boolean;
  /** The addresses of the snapshot's family, whether usable or not. */
  addresses: readonly { address: Ip; prefixLength: number }[];
}

export interface Neighbour {
  address: string;
  device: string;
  mac: string;
}

/** A route as iproute2 prints it. Addresses and networks stay text, in the form that `ip route` accepts. */
export interface Route {
  /** Undefined for a unicast route; else `blackhole`, `unreachable`, `local` … */
  type: string | undefined;
  /** `10.244.2.0/24`, `default`; a host route has no prefix length. */
  destination: string;
  gateway: string | undefined;
  /** Undefined for a route with several next hops. */
  device: string | undefined;
  /** `kernel`, `boot` … */
  protocol: string | undefined;
  /** 0 if the kernel reports none. */
  metric: number;
  onlink: boolean;
}

export interface IpRoute {
  type?: string;
  dst: string;
  gateway?: string;
  dev?: string;
  protocol?: string;
  metric?: number;
  flags?: string[];
}

interface IpLink {
  ifindex: number;
  ifname: string;
  address?: string;
  mtu: number;
  flags: string[];
}

interface IpAddresses {
  ifindex: number;
  addr_info?: { local: string; prefixlen: number }[];
}

interface IpNeighbour {
  dst: string;
  dev: string;
  lladdr?: string;
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
    IpAddresses[],
    IpNeighbour[],
    IpRoute[],
  ];
  const infos = new Map(addresses.map(({ ifindex, addr_info = [] }) => [ifindex, addr_info]));
  return {
    links: links.map((link) => ({
      index: link.ifindex,
      name: link.ifname,
      mac: link.address ?? '',
      mtu: link.mtu,
      up: link.flags.includes('UP'),
      addresses: (infos.get(link.ifindex) ?? []).flatMap(({ local, prefixlen }) => {
        const address = parseIp(local);
        return address === undefined ? [] : [{ address, prefixLength: prefixlen }];
      }),
    })),
    neighbours: neighbours.map(({ dst, dev, lladdr = '' }) => ({ address: dst, device: dev, mac: lladdr })),
    routes: routes.map(parseRoute),
  };
}

export function parseRoute({ type, dst, gateway, dev, protocol, metric, flags }: IpRoute): Route {
  return {
    type: type === 'unicast' ? undefined : type,
    destination: dst,
    gateway,
    device: dev,
    protocol,
    metric: metric ?? 0,
    onlink: flags?.includes('onlink') ?? false,
  };
}

/** Returns true if some link has the address. */
export function hasAddress({ links }: KernelSnapshot, address: Ip): boolean {
  return links.some(({ addresses }) => addresses.some((assigned) => assigned.address === address));
}
