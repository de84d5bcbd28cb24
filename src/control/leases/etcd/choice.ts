/** Which subnet a node gets, by what is in etcd: flannel's tryAcquireLease (pkg/subnet/etcd/local_manager.go). */

import type { SubnetRange } from '../../config/subnet-range.js';
import { type Cidr, formatIpv4, type Ipv4 } from '../../ipv4.js';
import { type Cidr6, formatIpv6, type Ipv6 } from '../../ipv6.js';
import { UserError } from '../../user-error.js';
import { type Candidates, firstFree, overlap, type Span, spanOf, spanOf6 } from './allocate.js';
import type { SubnetEntry } from './entry.js';
import type { SubnetKey } from './subnet-key.js';

/** What a node wants. */
export interface Wish {
  /** Where the network configuration is, for messages. */
  origin: string;
  publicIp: Ipv4;
  subnets: SubnetRange;
  /** The subnet it had before. */
  previous: Cidr | undefined;
  /** undefined: no IPv6 subnet. */
  subnets6: SubnetRange<Ipv6> | undefined;
  previous6: Cidr6 | undefined;
}

export type Choice =
  /** The node's own key, from an earlier run or reserved for it. */
  | { kind: 'own'; entry: SubnetEntry }
  /** The node's own key, but not of the configured network: it has to go first. */
  | { kind: 'misfit'; entry: SubnetEntry }
  /** A subnet that nobody has; `previous`: the one the node had before. */
  | { kind: 'free'; key: SubnetKey; previous: boolean };

/** Chooses by the entries of all nodes. `random`: from 0 to below 1. @throws UserError when all subnets are taken */
export function choose(entries: readonly SubnetEntry[], wish: Wish, random: () => number): Choice {
  const own = entries.filter(({ publicIp }) => publicIp === wish.publicIp);
  const fitting = own.find(({ key }) => fits(key, wish));
  if (fitting !== undefined) return { kind: 'own', entry: fitting };
  if (own[0] !== undefined) return { kind: 'misfit', entry: own[0] };

  const taken = entries.map(({ key }) => spanOf(key.subnet));
  const taken6 = entries.flatMap(({ key }) => (key.subnet6 === undefined ? [] : [spanOf6(key.subnet6)]));
  const previous = previousKey(wish);
  if (previous !== undefined && fits(previous, wish) && !clashes(previous, taken, taken6)) {
    return { kind: 'free', key: previous, previous: true };
  }
  return { kind: 'free', key: freeKey(wish, taken, taken6, random), previous: false };
}

/** The subnets of the node's earlier run; undefined unless there is one of each family it wants. */
export function previousKey({ previous, subnets6, previous6 }: Wish): SubnetKey | undefined {
  if (previous === undefined) return undefined;
  if (subnets6 === undefined) return { subnet: previous, subnet6: undefined };
  return previous6 && { subnet: previous, subnet6: previous6 };
}

/** Whether a node that wants this may have these subnets by the network configuration. */
export function fits({ subnet, subnet6 }: SubnetKey, { subnets, subnets6 }: Wish): boolean {
  if (subnet.prefix !== subnets.length || subnet.base < subnets.min || subnet.base > subnets.max)
    return false;
  if (subnets6 === undefined || subnet6 === undefined) return subnets6 === subnet6;
  const { length, min, max } = subnets6;
  return subnet6.prefix === length && subnet6.base >= min && subnet6.base <= max;
}

function clashes({ subnet, subnet6 }: SubnetKey, taken: readonly Span[], taken6: readonly Span[]): boolean {
  if (taken.some((span) => overlap(span, spanOf(subnet)))) return true;
  return subnet6 !== undefined && taken6.some((span) => overlap(span, spanOf6(subnet6)));
}

function freeKey(
  wish: Wish,
  taken: readonly Span[],
  taken6: readonly Span[],
  random: () => number,
): SubnetKey {
  const { subnets, subnets6, origin } = wish;
  const { length, min, max } = subnets;
  const among: Candidates = { min: BigInt(min), max: BigInt(max), size: 1n << BigInt(32 - length) };
  const base = pick(among, taken, random, () => {
    const range = `${formatIpv4(min)} to ${formatIpv4(max)}, /${length}`;
    return `out of subnets: all of ${range} are taken; delete keys of nodes that are gone, or give ${origin} a larger Network or a longer SubnetLen`;
  });
  const subnet = { base: Number(base), prefix: length };
  if (subnets6 === undefined) return { subnet, subnet6: undefined };
  const { length: length6, min: min6, max: max6 } = subnets6;
  const among6 = { min: min6, max: max6, size: 1n << BigInt(128 - length6) };
  const base6 = pick(among6, taken6, random, () => {
    const range = `${formatIpv6(min6)} to ${formatIpv6(max6)}, /${length6}`;
    return `out of subnets: all of ${range} are taken; delete keys of nodes that are gone, or give ${origin} a larger IPv6Network or a longer IPv6SubnetLen`;
  });
  return { subnet, subnet6: { base: base6, prefix: length6 } };
}

function pick(among: Candidates, taken: readonly Span[], random: () => number, none: () => string): bigint {
  const free = firstFree(among, taken);
  const base = free[Math.floor(random() * free.length)];
  if (base === undefined) throw new UserError(none());
  return base;
}
