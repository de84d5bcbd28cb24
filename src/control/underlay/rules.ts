/** The rules that find an interface: by name or address, pattern, target or default route (flannel's pkg/ipmatch). */

import { type Family, familyFlag, familyName, type PerFamily, perFamily } from '../addresses/family.js';
import { familyOf, formatIp, type Ip, parseIp } from '../addresses/ip.js';
import { ipJson } from '../kernel/ip.js';
import { isDummy, type Link } from '../kernel/links.js';
import { UserError } from '../support/user-error.js';

/** The error for an interface, address or route that may appear later. Weft waits for it, at the start and while it runs. */
export class UnderlayMissing extends UserError {
  /** The message without flannel's words before it. */
  readonly reason: string;

  constructor(reason: string, words = '') {
    const [, command] = /\((ip link [^()]+)\)$/.exec(reason) ?? [];
    super(words + reason, {
      id: 'no-underlay',
      why: 'Weft waits for an underlay at the start; the node has no pod network until then.',
      fix: command ?? 'Give the interface an address, or name another one with --iface.',
    });
    this.reason = reason;
  }
}

/** What is searched, and the log lines of the search. */
export interface Search {
  links: readonly Link[];
  families: readonly Family[];
  notes: string[];
}

/** The interface that a rule found, and the addresses on it that the rule names. */
export interface Match {
  link: Link;
  /** A family that is absent uses the interface's best address. */
  addresses?: PerFamily<Ip>;
}

/** Finds the interface with this node's public address. */
export function withPublicIp({ links, notes }: Search, address: Ip): Match {
  const text = formatIp(address);
  notes.push(`Searching for interface using ${text}`);
  const link = withAddress(links, address);
  if (link === undefined) {
    const flag = familyOf(address) === 'ipv4' ? '--public-ip' : '--public-ipv6';
    throw new UnderlayMissing(
      `error looking up interface ${text}: no interface has the ${flag} address; behind a NAT also name the interface with --iface`,
    );
  }
  return matchOf(link, address);
}

/** Finds an interface by its name or by one of its addresses. */
export function named({ links, families, notes }: Search, value: string): Match {
  const parsed = parseIp(value);
  const address = parsed !== undefined && families.includes(familyOf(parsed)) ? parsed : undefined;
  if (address !== undefined) notes.push(`Searching for interface using ${value}`);
  const link = address === undefined ? links.find(({ name }) => name === value) : withAddress(links, address);
  if (link === undefined) throw new UnderlayMissing('no interface has this name or address');
  return matchOf(link, address);
}

/** Finds an interface by a pattern: first by one address of each family, then by name. */
export function matching({ links, families }: Search, pattern: string): Match {
  const regex = compile(pattern);
  for (const link of links) {
    if (isDummy(link)) continue;
    const addresses = perFamily(families, (family) =>
      link.usable[family].find((candidate) => regex.test(formatIp(candidate))),
    );
    if (families.every((family) => addresses[family] !== undefined)) return { link, addresses };
  }
  const link = links.find(({ name }) => regex.test(name));
  if (link === undefined) {
    throw new UnderlayMissing(
      `could not match pattern ${pattern} to any of the available network interfaces`,
    );
  }
  return { link };
}

/**
 * Compiles a Go pattern: Go writes flags inside, as in `(?i)^eth`; JavaScript takes them as a separate argument and has
 * no U.
 */
function compile(pattern: string): RegExp {
  const [group = '', letters = ''] = /^\(\?([imsU]+)\)/.exec(pattern) ?? [];
  const flags = [...new Set(letters.replaceAll('U', ''))].join('');
  try {
    return new RegExp(pattern.slice(group.length), flags);
  } catch (error) {
    throw new UserError(`could not compile the IP address regex '${pattern}': ${(error as Error).message}`);
  }
}

/** A route as `ip -json route` prints it. */
interface RouteJson {
  /** Absent for unicast routes; else local, unreachable, blackhole ... */
  type?: string;
  dev?: string;
  prefsrc?: string;
  /** The next hops of a multipath route, which has no `dev` itself. */
  nexthops?: { dev?: string }[];
}

/**
 * Finds the interface through which the kernel reaches the target; for an address of this node, the interface that has
 * it.
 */
export async function reaching({ links, families, notes }: Search, target: string): Promise<Match> {
  notes.push(`Determining interface to use based on given ifcanreach: ${target}`);
  const address = parseIp(target);
  if (address === undefined || !families.includes(familyOf(address))) {
    throw new UserError(`not an ${families.map(familyName).join(' or ')} address`);
  }
  const [route] = await ipJson<RouteJson>(`route get ${target}`).catch((error: UserError) => {
    throw new UnderlayMissing(error.message);
  });
  // The kernel sends packets to itself through lo, from its first address.
  const isOwn = route?.type === 'local';
  const link = isOwn ? withAddress(links, address) : links.find(({ name }) => name === route?.dev);
  if (link === undefined) {
    throw new UnderlayMissing('failed to get ifcanreach based interface: no interface leads there');
  }
  return matchOf(link, isOwn ? address : parseIp(route?.prefsrc ?? ''));
}

/** Finds the interface of the default routes, which must be the same for both families. */
export async function ofDefaultRoutes({ links, families }: Search): Promise<Link> {
  const [first, second] = await Promise.all(families.map((family) => ofDefaultRoute(links, family)));
  if (second !== undefined && second !== first) {
    throw new UserError(
      `v6 default route interface ${second.name} must be the same with v4 default route interface ${first?.name}; name one with --iface`,
    );
  }
  return first;
}

/**
 * Finds the interface of one family's default route. A multipath route counts with its first next hop, where flannel
 * gives up. An unreachable or blackhole route does not count.
 */
async function ofDefaultRoute(links: readonly Link[], family: Family): Promise<Link> {
  const routes = await ipJson<RouteJson>(`${familyFlag(family)} route show default`);
  const devices = routes
    .filter(({ type }) => type === undefined)
    .map(({ dev, nexthops }) => dev ?? nexthops?.find((hop) => hop.dev)?.dev);
  const [link] = devices.flatMap((device) => links.find(({ name }) => name === device) ?? []);
  if (link === undefined) {
    const kind = family === 'ipv6' ? 'default v6 route' : 'default route';
    throw new UnderlayMissing(`unable to find ${kind}; name the interface with --iface`);
  }
  return link;
}

/** Finds the interface with an address. kube-proxy gives a dummy interface the addresses of Services, which peers cannot reach. */
function withAddress(links: readonly Link[], address: Ip): Link | undefined {
  return links.find((link) => !isDummy(link) && link.usable[familyOf(address)].includes(address));
}

function matchOf(link: Link, address: Ip | undefined): Match {
  return address === undefined ? { link } : { link, addresses: { [familyOf(address)]: address } };
}
