/** Which interface the tunnel goes through, and which address the peers send to: flannel's rules (pkg/ipmatch). */

import { type Family, familyName, formatIp, type Ip, isPublic } from '../addresses/address.js';
import { type Ipv4, parseIpv4 } from '../addresses/ipv4.js';
import { type Ipv6, isLinkLocal6, parseIpv6 } from '../addresses/ipv6.js';
import { addressesOf, type Link, listLinks } from '../kernel/links.js';
import type { UnderlayOptions } from '../options.js';
import { info } from '../support/log.js';
import { UserError } from '../support/user-error.js';
import {
  type Found,
  matching,
  named,
  ofDefaultRoutes,
  type Pair,
  pairOf,
  reaching,
  type Search,
  withPublicIp,
} from './rules.js';

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
  /** This machine's address that was chosen with the interface, which mostly has it itself. */
  address: A;
  /** `publicIp`, `address`, and whatever other addresses the interface has, best first. */
  addresses: readonly A[];
  /** The address the peers are to send to; behind a NAT none of this machine's. */
  publicIp: A;
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
  if (text === undefined || (address !== undefined && isPublic(address))) return address;
  throw new UserError(
    `invalid public IP address: ${text}; --public-ip needs an IPv4 address that a node can have, as in 192.0.2.1`,
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
