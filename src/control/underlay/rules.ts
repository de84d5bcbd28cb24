/** One rule each by which an interface is found: name or address, pattern, a target, the default route (pkg/ipmatch). */

import {
  type Family,
  familyFlag,
  familyName,
  familyOf,
  formatIp,
  type Ip,
  parseIp,
} from '../addresses/address.js';
import type { Ipv4 } from '../addresses/ipv4.js';
import type { Ipv6 } from '../addresses/ipv6.js';
import { ipJson } from '../kernel/ip.js';
import { addressesOf, type Link } from '../kernel/links.js';
import { UserError } from '../support/user-error.js';

/** An address of each family, or of one. */
export interface Pair {
  ipv4?: Ipv4 | undefined;
  ipv6?: Ipv6 | undefined;
}

/** Among what is searched, and what is said of it. */
export interface Search {
  links: readonly Link[];
  families: readonly Family[];
  notes: string[];
}

/** What one rule found; where it names no address, it is the interface's best. */
export interface Found {
  link: Link;
  addresses?: Pair;
}

/** That which has this node's public address. */
export function withPublicIp({ links, notes }: Search, address: Ip): Found {
  const text = formatIp(address);
  notes.push(`Searching for interface using ${text}`);
  const link = withAddress(links, address);
  if (link === undefined) {
    const flag = familyOf(address) === 'ipv4' ? '--public-ip' : '--public-ipv6';
    throw new UserError(
      `error looking up interface ${text}: ${flag} is no address of this node; behind a NAT name the interface with --iface too`,
    );
  }
  return { link, addresses: pairOf(address) };
}

/** By name, or by one of its addresses. */
export function named({ links, families, notes }: Search, value: string): Found {
  const parsed = parseIp(value);
  const address = parsed !== undefined && families.includes(familyOf(parsed)) ? parsed : undefined;
  if (address !== undefined) notes.push(`Searching for interface using ${value}`);
  const link = address === undefined ? links.find(({ name }) => name === value) : withAddress(links, address);
  if (link === undefined) throw new UserError('no interface has this name or address');
  return address === undefined ? { link } : { link, addresses: pairOf(address) };
}

/** Addresses of all interfaces first, one of each family; names only then. */
export function matching({ links, families }: Search, pattern: string): Found {
  const regex = compile(pattern);
  for (const link of links) {
    const addresses = families.map((family) =>
      addressesOf(link, family).find((candidate) => regex.test(formatIp(candidate))),
    );
    if (addresses.every((address) => address !== undefined)) {
      return { link, addresses: Object.assign({}, ...addresses.map(pairOf)) as Pair };
    }
  }
  const link = links.find(({ name }) => regex.test(name));
  if (link === undefined) {
    throw new UserError(`could not match pattern ${pattern} to any of the available network interfaces`);
  }
  return { link };
}

/** Go writes flags into the pattern, as in `(?i)^eth`; JavaScript has them beside it, and none that is called U. */
function compile(pattern: string): RegExp {
  const [group = '', letters = ''] = /^\(\?([imsU]+)\)/.exec(pattern) ?? [];
  const flags = [...new Set(letters.replaceAll('U', ''))].join('');
  try {
    return new RegExp(pattern.slice(group.length), flags);
  } catch (error) {
    throw new UserError(`could not compile the IP address regex '${pattern}': ${(error as Error).message}`);
  }
}

interface IpRoute {
  /** Printed of all but unicast routes: local, unreachable, blackhole ... */
  type?: string;
  dev?: string;
  prefsrc?: string;
  /** Of a route with several next hops, which has no `dev` itself. */
  nexthops?: { dev?: string }[];
}

/** That through which the kernel would send to the target; of an address of this node, that which has it. */
export async function reaching({ links, families, notes }: Search, target: string): Promise<Found> {
  notes.push(`Determining interface to use based on given ifcanreach: ${target}`);
  const address = parseIp(target);
  if (address === undefined || !families.includes(familyOf(address))) {
    throw new UserError(`this is no ${families.map(familyName).join(' or ')} address`);
  }
  const [route] = await ipJson<IpRoute>('route', 'get', target);
  // What a node sends to itself goes through lo, from whichever address is the first.
  const isOwn = route?.type === 'local';
  const link = isOwn ? withAddress(links, address) : links.find(({ name }) => name === route?.dev);
  if (link === undefined) {
    throw new UserError('failed to get ifcanreach based interface: no interface leads there');
  }
  const source = isOwn ? address : parseIp(route?.prefsrc ?? '');
  return source === undefined ? { link } : { link, addresses: pairOf(source) };
}

/** The interface of the default routes, which has to be one for both families. */
export async function ofDefaultRoutes({ links, families }: Search): Promise<Link> {
  const [first, second] = await Promise.all(families.map((family) => ofDefaultRoute(links, family)));
  if (second !== undefined && second !== first) {
    throw new UserError(
      `v6 default route interface ${second.name} must be the same with v4 default route interface ${first?.name}; name one with --iface`,
    );
  }
  return first as Link;
}

/**
 * Of several next hops the first: flannel has none then and gives up. A default route that leads nowhere (unreachable,
 * blackhole) tells no interface, whichever it is printed with.
 */
async function ofDefaultRoute(links: readonly Link[], family: Family): Promise<Link> {
  const routes = await ipJson<IpRoute>(familyFlag(family), 'route', 'show', 'default');
  const devices = routes
    .filter(({ type }) => type === undefined)
    .map(({ dev, nexthops }) => dev ?? nexthops?.find((hop) => hop.dev)?.dev);
  const device = devices.find((name) => name !== undefined);
  const link = links.find(({ name }) => name === device);
  if (link === undefined) {
    const kind = family === 'ipv6' ? 'default v6 route' : 'default route';
    throw new UserError(
      `unable to find ${kind}; no ${kind} tells the interface to use: name one with --iface`,
    );
  }
  return link;
}

function withAddress(links: readonly Link[], address: Ip): Link | undefined {
  return links.find((link) => addressesOf(link, familyOf(address)).includes(address));
}

export function pairOf(address: Ip): Pair {
  return typeof address === 'bigint' ? { ipv6: address } : { ipv4: address };
}
