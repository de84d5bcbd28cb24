/** Chooses the underlay interface and the address that peers send to, by flannel's rules (pkg/ipmatch). */

import {
  type Family,
  familyName,
  mapFamilies,
  type PerFamily,
  perFamily,
  valuesOf,
} from '../addresses/family.js';
import { formatIp, type Ip, isLinkLocal, isNodeAddress, parseIp } from '../addresses/ip.js';
import { type Link, listLinks } from '../kernel/links.js';
import type { UnderlayOptions } from '../options.js';
import { info } from '../support/log.js';
import { shellWord } from '../support/printable.js';
import { UserError } from '../support/user-error.js';
import {
  type Match,
  matching,
  named,
  ofDefaultRoutes,
  reaching,
  type Search,
  UnderlayMissing,
  withPublicIp,
} from './rules.js';

export interface Underlay {
  link: Link;
  /** The addresses of each family of the cluster. */
  families: PerFamily<FamilyAddress>;
  /** How the choice was made, in flannel's log lines. */
  notes: readonly string[];
}

/** The underlay addresses of one family. */
export interface FamilyAddress {
  /** The address of this machine that was chosen, usually one of the interface. */
  address: Ip;
  /** `publicIp`, `address` and all other addresses of the interface, best first. */
  addresses: readonly Ip[];
  /** The address that peers send to; behind a NAT it is not an address of this machine. */
  publicIp: Ip;
}

/** An interface with an address of every family. */
interface Selection {
  link: Link;
  addresses: PerFamily<Ip>;
}

/** A flag that selects the interface; the first one that finds an interface decides. */
interface Rule {
  flag: string;
  value: string;
  find: () => Match | Promise<Match>;
}

/** For each family: flannel's name of the public address, the flag, and the values that it accepts. */
const PUBLIC_IP: Record<Family, { name: string; flag: string; remedy: string }> = {
  ipv4: {
    name: 'public IP address',
    flag: '--public-ip',
    remedy: 'an IPv4 address that a node can have, as in 192.0.2.1',
  },
  ipv6: {
    name: 'public IPv6 address',
    flag: '--public-ipv6',
    remedy: 'a global or unique local address, as in 2001:db8::1',
  },
};

/**
 * Chooses the interface, which must have an address of each of `families`.
 * @throws UserError in flannel's words, with a list of the interfaces; UnderlayMissing if it may appear later
 */
export async function chooseUnderlay(
  links: readonly Link[],
  options: UnderlayOptions,
  families: readonly Family[],
): Promise<Underlay> {
  const search: Search = { links, families, notes: [] };
  const publicIps = perFamily(families, (family) => readPublicIp(options.publicIp[family], family));
  const rules = rulesOf(search, options);
  const { link, addresses } =
    rules.length > 0 ? await firstMatch(rules, search) : await findUnnamed(search, publicIps);
  const chosen = mapFamilies(addresses, (address, family) => {
    return addressesOn(link, family, { address, publicIp: publicIps[family] ?? address });
  });
  const interfaceNotes = mapFamilies(
    chosen,
    ({ address }, family) =>
      `Using interface with name ${link.name} and ${family === 'ipv6' ? 'v6 ' : ''}address ${formatIp(address)}`,
  );
  const externalNotes = mapFamilies(chosen, ({ address, publicIp }, family) =>
    publicIps[family] === undefined
      ? `Defaulting external ${family === 'ipv6' ? 'v6 ' : ''}address to interface address (${formatIp(address)})`
      : `Using ${formatIp(publicIp)} as external address`,
  );
  return {
    link,
    families: chosen,
    notes: [...search.notes, ...valuesOf(interfaceNotes), ...valuesOf(externalNotes)],
  };
}

/** Adds the other addresses of the interface to the chosen ones. */
export function addressesOn(
  { usable }: Link,
  family: Family,
  { address, publicIp }: Omit<FamilyAddress, 'addresses'>,
): FamilyAddress {
  return { address, addresses: [...new Set([publicIp, address, ...usable[family]])], publicIp };
}

/** Logs how the choice was made. */
export function logUnderlay({ notes }: Underlay): void {
  for (const note of notes) info(note);
}

function readPublicIp(text: string | undefined, family: Family): Ip | undefined {
  if (text === undefined) return undefined;
  const address = parseIp(text, family);
  if (address !== undefined && isNodeAddress(address)) return address;
  const { name, flag, remedy } = PUBLIC_IP[family];
  throw new UserError(`invalid ${name}: ${text}; ${flag} needs ${remedy}`);
}

/** Chooses without a flag: the interface with the public address, otherwise the interface of the default route. */
async function findUnnamed(search: Search, publicIps: PerFamily<Ip>): Promise<Selection> {
  try {
    const [publicIp] = valuesOf(publicIps);
    if (publicIp !== undefined) return complete(withPublicIp(search, publicIp), search);
    search.notes.push('Determining IP address of default interface');
    return complete({ link: await ofDefaultRoutes(search) }, search);
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    throw prefixed(
      error,
      'Failed to find any valid interface to use: ',
      `${error.message} (interfaces: ${listLinks(search.links, search.families)})`,
    );
  }
}

function rulesOf(search: Search, { iface, ifaceRegex, ifaceCanReach }: UnderlayOptions): Rule[] {
  const targets = ifaceCanReach === undefined ? [] : [ifaceCanReach];
  return [
    ...iface.map((value) => ({ flag: '--iface', value, find: () => named(search, value) })),
    ...ifaceRegex.map((value) => ({ flag: '--iface-regex', value, find: () => matching(search, value) })),
    ...targets.map((value) => ({ flag: '--iface-can-reach', value, find: () => reaching(search, value) })),
  ];
}

async function firstMatch(rules: readonly Rule[], search: Search): Promise<Selection> {
  const there = listLinks(search.links, search.families);
  const misses: string[] = [];
  let permanent: UserError | undefined;
  for (const { flag, value, find } of rules) {
    try {
      return complete(await find(), search);
    } catch (error) {
      if (!(error instanceof UserError)) throw error;
      search.notes.push(
        `Could not find valid interface matching ${value}: ${error.message} (interfaces: ${there})`,
      );
      misses.push(`${flag} ${value}: ${error.message}`);
      if (!(error instanceof UnderlayMissing)) permanent = error;
    }
  }
  throw prefixed(
    permanent ?? new UnderlayMissing(''),
    'Failed to find interface to use that matches the interfaces and/or regexes provided: ',
    `${misses.join('; ')} (interfaces: ${there})`,
  );
}

/** Returns an error with flannel's words before the reason: one that waiting may end, if `cause` is one. */
function prefixed(cause: UserError, words: string, reason: string): UserError {
  return cause instanceof UnderlayMissing
    ? new UnderlayMissing(reason, words)
    : new UserError(words + reason);
}

/** Adds the address of every family that the match does not name. @throws UserError when the interface has none */
function complete({ link, addresses = {} }: Match, { families }: Search): Selection {
  const { name, mtu, usable } = link;
  const complete = perFamily(families, (family) => {
    const address = addresses[family] ?? usable[family][0];
    if (address === undefined) {
      throw new UnderlayMissing(
        `failed to find ${familyName(family)} address for interface ${name}; give it one, or name another interface with --iface`,
      );
    }
    if (family === 'ipv6' && isLinkLocal(address)) {
      throw new UnderlayMissing(
        `failed to find IPv6 address for interface ${name}: ${formatIp(address)} is link-local, which peers cannot reach; give it a global or unique local address, or name another interface with --iface`,
      );
    }
    return address;
  });
  if (mtu === 0) {
    throw new UserError(
      `failed to determine MTU for ${name} interface; set one (ip link set dev ${shellWord(name)} mtu 1500)`,
    );
  }
  return { link, addresses: complete };
}
