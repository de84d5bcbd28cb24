/** Which interface the tunnel goes through, and which address the peers send to: flannel's rules (pkg/ipmatch). */

import {
  type Family,
  familyFlag,
  familyName,
  familyOf,
  formatIp,
  type Ip,
  isPublic,
  parseIp,
} from '../address.js';
import { type Ipv4, parseIpv4 } from '../ipv4.js';
import { type Ipv6, isLinkLocal6, parseIpv6 } from '../ipv6.js';
import { info } from '../log.js';
import type { UnderlayOptions } from '../options.js';
import { UserError } from '../user-error.js';
import { ipJson } from './ip.js';
import { addressesOf, type Link, listLinks } from './links.js';

export interface Underlay {
  link: Link;
  /** Of each family that the cluster has. */
  ipv4: Side<Ipv4> | undefined;
  ipv6: Side<Ipv6> | undefined;
  /** How the choice was made, in flannel's log lines. */
  notes: readonly string[];
}

/** The underlay as one family sees it. */
export interface Side<A extends Ip = Ip> {
  /** The interface's own address that was chosen with it. */
  address: A;
  /** `publicIp`, `address`, and whatever other addresses the interface has, best first. */
  addresses: readonly A[];
  /** The address the peers are to send to; behind a NAT none of this machine's. */
  publicIp: A;
}

/** An address of each family, or of one. */
interface Pair {
  ipv4?: Ipv4 | undefined;
  ipv6?: Ipv6 | undefined;
}

/** Among what is searched, and what is said of it. */
interface Search {
  links: readonly Link[];
  families: readonly Family[];
  notes: string[];
}

/** What one rule found; where it names no address, it is the interface's best. */
interface Found {
  link: Link;
  addresses?: Pair;
}

/** The same with an address for each family. */
interface Choice {
  link: Link;
  addresses: Pair;
}

/** One thing the operator named: the first that finds an interface decides. */
interface Attempt {
  flag: string;
  value: string;
  find: () => Found | Promise<Found>;
}

/**
 * The interface, which has to have an address of each of `families`.
 * @throws UserError in flannel's words, with what there is to choose from
 */
export async function chooseUnderlay(
  links: readonly Link[],
  options: UnderlayOptions,
  families: readonly Family[],
): Promise<Underlay> {
  const search = { links, families, notes: [] as string[] };
  const wanted = {
    ipv4: families.includes('ipv4') ? readPublicIp(options.publicIp) : undefined,
    ipv6: families.includes('ipv6') ? readPublicIpv6(options.publicIpv6) : undefined,
  };
  const attempts = attemptsOf(search, options);
  const { link, addresses } =
    attempts.length > 0 ? await firstFound(attempts, search) : await findUnnamed(search, wanted);
  return {
    link,
    ipv4: sideOf(addresses.ipv4, wanted.ipv4, link.addresses),
    ipv6: sideOf(addresses.ipv6, wanted.ipv6, link.addresses6),
    notes: [
      ...search.notes,
      ...families.map(
        (family) => `Using interface with name ${link.name} and ${addressText(family, addresses)}`,
      ),
      ...families.map((family) => externalText(family, addresses, wanted)),
    ],
  };
}

/** Logs how the choice was made. */
export function announceUnderlay({ notes }: Underlay): void {
  for (const note of notes) info(note);
}

function readPublicIp(text: string | undefined): Ipv4 | undefined {
  const address = text === undefined ? undefined : parseIpv4(text);
  if (text === undefined || address !== undefined) return address;
  throw new UserError(
    `invalid public IP address: ${text}; --public-ip needs an IPv4 address, as in 192.0.2.1`,
  );
}

function readPublicIpv6(text: string | undefined): Ipv6 | undefined {
  const address = text === undefined ? undefined : parseIpv6(text);
  if (text === undefined || (address !== undefined && isPublic(address))) return address;
  throw new UserError(
    `invalid public IPv6 address: ${text}; --public-ipv6 needs a global or unique local address, as in 2001:db8::1`,
  );
}

function sideOf<A extends Ip>(
  address: A | undefined,
  wanted: A | undefined,
  all: readonly A[],
): Side<A> | undefined {
  if (address === undefined) return undefined;
  const publicIp = wanted ?? address;
  return { address, addresses: [...new Set([publicIp, address, ...all])], publicIp };
}

function addressText(family: Family, addresses: Pair): string {
  return `${family === 'ipv6' ? 'v6 ' : ''}address ${formatIp(addresses[family] as Ip)}`;
}

function externalText(family: Family, addresses: Pair, wanted: Pair): string {
  const given = wanted[family];
  return given === undefined
    ? `Defaulting external ${family === 'ipv6' ? 'v6 ' : ''}address to interface address (${formatIp(addresses[family] as Ip)})`
    : `Using ${formatIp(given)} as external address`;
}

/** Nothing was named: the interface that has the public address, else that of the default route. */
async function findUnnamed(search: Search, { ipv4, ipv6 }: Pair): Promise<Choice> {
  try {
    const publicIp = ipv4 ?? ipv6;
    if (publicIp !== undefined) return complete(withPublicIp(search, publicIp), search);
    search.notes.push('Determining IP address of default interface');
    return complete({ link: await ofDefaultRoutes(search) }, search);
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    throw new UserError(
      `Failed to find any valid interface to use: ${error.message} (there is ${listLinks(search.links, search.families)})`,
    );
  }
}

function withPublicIp({ links, notes }: Search, address: Ip): Found {
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

function attemptsOf(search: Search, { iface, ifaceRegex, ifaceCanReach }: UnderlayOptions): Attempt[] {
  const attempts: Attempt[] = [
    ...iface.map((value) => ({ flag: '--iface', value, find: () => named(search, value) })),
    ...ifaceRegex.map((value) => ({ flag: '--iface-regex', value, find: () => matching(search, value) })),
  ];
  if (ifaceCanReach !== undefined) {
    attempts.push({
      flag: '--iface-can-reach',
      value: ifaceCanReach,
      find: () => reaching(search, ifaceCanReach),
    });
  }
  return attempts;
}

async function firstFound(attempts: readonly Attempt[], search: Search): Promise<Choice> {
  const there = listLinks(search.links, search.families);
  const misses: string[] = [];
  for (const { flag, value, find } of attempts) {
    try {
      return complete(await find(), search);
    } catch (error) {
      if (!(error instanceof UserError)) throw error;
      search.notes.push(
        `Could not find valid interface matching ${value}: ${error.message} (there is ${there})`,
      );
      misses.push(`${flag} ${value}: ${error.message}`);
    }
  }
  throw new UserError(
    `Failed to find interface to use that matches the interfaces and/or regexes provided: ${misses.join('; ')} (there is ${there})`,
  );
}

/** Gives every family its address. @throws UserError when the interface has none of one */
function complete({ link, addresses = {} }: Found, { families }: Search): Choice {
  const { name, mtu } = link;
  const all: Pair = {};
  for (const family of families) {
    const address = addresses[family] ?? addressesOf(link, family)[0];
    if (address === undefined) {
      throw new UserError(
        `failed to find ${familyName(family)} address for interface ${name}; give it one, or name another interface with --iface`,
      );
    }
    if (typeof address === 'bigint' && isLinkLocal6(address)) {
      throw new UserError(
        `failed to find IPv6 address for interface ${name}: ${formatIp(address)} is link-local, and peers send to global or unique local ones; give it one, or name another interface with --iface`,
      );
    }
    Object.assign(all, pairOf(address));
  }
  if (mtu === 0) {
    throw new UserError(
      `failed to determine MTU for ${name} interface; set one (ip link set dev ${name} mtu 1500)`,
    );
  }
  return { link, addresses: all };
}

function pairOf(address: Ip): Pair {
  return typeof address === 'bigint' ? { ipv6: address } : { ipv4: address };
}

function named({ links, families, notes }: Search, value: string): Found {
  const parsed = parseIp(value);
  const address = parsed !== undefined && families.includes(familyOf(parsed)) ? parsed : undefined;
  if (address !== undefined) notes.push(`Searching for interface using ${value}`);
  const link = address === undefined ? links.find(({ name }) => name === value) : withAddress(links, address);
  if (link === undefined) throw new UserError('no interface has this name or address');
  return address === undefined ? { link } : { link, addresses: pairOf(address) };
}

/** Addresses of all interfaces first, one of each family; names only then. */
function matching({ links, families }: Search, pattern: string): Found {
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
  dev?: string;
  prefsrc?: string;
  /** Of a route with several next hops, which has no `dev` itself. */
  nexthops?: { dev?: string }[];
}

async function reaching({ links, families, notes }: Search, target: string): Promise<Found> {
  notes.push(`Determining interface to use based on given ifcanreach: ${target}`);
  const address = parseIp(target);
  if (address === undefined || !families.includes(familyOf(address))) {
    throw new UserError(`this is no ${families.map(familyName).join(' or ')} address`);
  }
  const [route] = await ipJson<IpRoute>('route', 'get', target);
  const link = links.find(({ name }) => name === route?.dev);
  if (link === undefined) throw new UserError('failed to get ifcanreach based interface: no route has one');
  const source = parseIp(route?.prefsrc ?? '');
  return source === undefined ? { link } : { link, addresses: pairOf(source) };
}

/** The interface of the default routes, which has to be one for both families. */
async function ofDefaultRoutes({ links, families }: Search): Promise<Link> {
  const [first, second] = await Promise.all(families.map((family) => ofDefaultRoute(links, family)));
  if (second !== undefined && second !== first) {
    throw new UserError(
      `v6 default route interface ${second.name} must be the same with v4 default route interface ${first?.name}; name one with --iface`,
    );
  }
  return first as Link;
}

/** Of several next hops the first: flannel has none then and gives up. */
async function ofDefaultRoute(links: readonly Link[], family: Family): Promise<Link> {
  const routes = await ipJson<IpRoute>(familyFlag(family), 'route', 'show', 'default');
  const devices = routes.map(({ dev, nexthops }) => dev ?? nexthops?.find((hop) => hop.dev)?.dev);
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
