/** Which interface the tunnel goes through, and which address the peers send to: flannel's rules (pkg/ipmatch). */

import { formatIpv4, type Ipv4, parseIpv4 } from '../ipv4.js';
import { info } from '../log.js';
import type { UnderlayOptions } from '../options.js';
import { UserError } from '../user-error.js';
import { ipJson } from './ip.js';
import { type Link, listLinks } from './links.js';

export interface Underlay {
  link: Link;
  /** The interface's own address that was chosen with it. */
  address: Ipv4;
  /** `publicIp`, `address`, and whatever other addresses the interface has, best first. */
  addresses: readonly Ipv4[];
  /** The address the peers are to send to; behind a NAT none of this machine's. */
  publicIp: Ipv4;
  /** How the choice was made, in flannel's log lines. */
  notes: readonly string[];
}

interface Choice {
  link: Link;
  address: Ipv4;
}

/** What one rule found; without an address it is the interface's best. */
interface Found {
  link: Link;
  address?: Ipv4 | undefined;
}

/** One thing the operator named: the first that finds an interface decides. */
interface Attempt {
  flag: string;
  value: string;
  find: () => Found | Promise<Found>;
}

/** @throws UserError in flannel's words, with what there is to choose from */
export async function chooseUnderlay(links: readonly Link[], options: UnderlayOptions): Promise<Underlay> {
  const wanted = options.publicIp === undefined ? undefined : parseIpv4(options.publicIp);
  if (options.publicIp !== undefined && wanted === undefined) {
    throw new UserError(
      `invalid public IP address: ${options.publicIp}; --public-ip needs an IPv4 address, as in 192.0.2.1`,
    );
  }
  const notes: string[] = [];
  const attempts = attemptsOf(links, options, notes);
  const { link, address } =
    attempts.length > 0 ? await firstFound(attempts, links, notes) : await findUnnamed(links, wanted, notes);
  const publicIp = wanted ?? address;
  return {
    link,
    address,
    addresses: [...new Set([publicIp, address, ...link.addresses])],
    publicIp,
    notes: [
      ...notes,
      `Using interface with name ${link.name} and address ${formatIpv4(address)}`,
      wanted === undefined
        ? `Defaulting external address to interface address (${formatIpv4(address)})`
        : `Using ${formatIpv4(wanted)} as external address`,
    ],
  };
}

/** Logs how the choice was made. */
export function announceUnderlay({ notes }: Underlay): void {
  for (const note of notes) info(note);
}

/** Nothing was named: the interface that has the public address, else that of the default route. */
async function findUnnamed(
  links: readonly Link[],
  publicIp: Ipv4 | undefined,
  notes: string[],
): Promise<Choice> {
  try {
    if (publicIp !== undefined) return complete(withPublicIp(links, publicIp, notes));
    notes.push('Determining IP address of default interface');
    return complete({ link: await ofDefaultRoute(links) });
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    throw new UserError(
      `Failed to find any valid interface to use: ${error.message} (there is ${listLinks(links)})`,
    );
  }
}

function withPublicIp(links: readonly Link[], address: Ipv4, notes: string[]): Found {
  const text = formatIpv4(address);
  notes.push(`Searching for interface using ${text}`);
  const link = withAddress(links, address);
  if (link === undefined) {
    throw new UserError(
      `error looking up interface ${text}: --public-ip is no address of this node; behind a NAT name the interface with --iface too`,
    );
  }
  return { link, address };
}

function attemptsOf(
  links: readonly Link[],
  { iface, ifaceRegex, ifaceCanReach }: UnderlayOptions,
  notes: string[],
): Attempt[] {
  const attempts: Attempt[] = [
    ...iface.map((value) => ({ flag: '--iface', value, find: () => named(links, value, notes) })),
    ...ifaceRegex.map((value) => ({ flag: '--iface-regex', value, find: () => matching(links, value) })),
  ];
  if (ifaceCanReach !== undefined) {
    attempts.push({
      flag: '--iface-can-reach',
      value: ifaceCanReach,
      find: () => reaching(links, ifaceCanReach, notes),
    });
  }
  return attempts;
}

async function firstFound(
  attempts: readonly Attempt[],
  links: readonly Link[],
  notes: string[],
): Promise<Choice> {
  const there = listLinks(links);
  const misses: string[] = [];
  for (const { flag, value, find } of attempts) {
    try {
      return complete(await find());
    } catch (error) {
      if (!(error instanceof UserError)) throw error;
      notes.push(`Could not find valid interface matching ${value}: ${error.message} (there is ${there})`);
      misses.push(`${flag} ${value}: ${error.message}`);
    }
  }
  throw new UserError(
    `Failed to find interface to use that matches the interfaces and/or regexes provided: ${misses.join('; ')} (there is ${there})`,
  );
}

function complete({ link, address = link.addresses[0] }: Found): Choice {
  const { name, mtu } = link;
  if (address === undefined) {
    throw new UserError(
      `failed to find IPv4 address for interface ${name}; give it one, or name another interface with --iface`,
    );
  }
  if (mtu === 0) {
    throw new UserError(
      `failed to determine MTU for ${name} interface; set one (ip link set dev ${name} mtu 1500)`,
    );
  }
  return { link, address };
}

function named(links: readonly Link[], value: string, notes: string[]): Found {
  const address = parseIpv4(value);
  if (address !== undefined) notes.push(`Searching for interface using ${value}`);
  const link = address === undefined ? links.find(({ name }) => name === value) : withAddress(links, address);
  if (link === undefined) throw new UserError('no interface has this name or address');
  return { link, address };
}

/** Addresses of all interfaces first, names only then. */
function matching(links: readonly Link[], pattern: string): Found {
  const regex = compile(pattern);
  for (const link of links) {
    const address = link.addresses.find((candidate) => regex.test(formatIpv4(candidate)));
    if (address !== undefined) return { link, address };
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

async function reaching(links: readonly Link[], target: string, notes: string[]): Promise<Found> {
  notes.push(`Determining interface to use based on given ifcanreach: ${target}`);
  if (parseIpv4(target) === undefined) throw new UserError('this is no IPv4 address');
  const [route] = await ipJson<IpRoute>('route', 'get', target);
  const link = links.find(({ name }) => name === route?.dev);
  if (link === undefined) throw new UserError('failed to get ifcanreach based interface: no route has one');
  return { link, address: parseIpv4(route?.prefsrc ?? '') };
}

/** Of several next hops the first: flannel has none then and gives up. */
async function ofDefaultRoute(links: readonly Link[]): Promise<Link> {
  const routes = await ipJson<IpRoute>('-4', 'route', 'show', 'default');
  const devices = routes.map(({ dev, nexthops }) => dev ?? nexthops?.find((hop) => hop.dev)?.dev);
  const device = devices.find((name) => name !== undefined);
  const link = links.find(({ name }) => name === device);
  if (link === undefined) {
    throw new UserError(
      'unable to find default route; no default route tells the interface to use: name one with --iface',
    );
  }
  return link;
}

function withAddress(links: readonly Link[], address: Ipv4): Link | undefined {
  return links.find(({ addresses }) => addresses.includes(address));
}
