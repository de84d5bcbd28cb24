/** Which subnet a node gets, by what is in etcd: flannel's tryAcquireLease (pkg/subnet/etcd/local_manager.go). */

import type { Cidr } from '../../addresses/cidr.js';
import { bitsOf } from '../../addresses/family.js';
import { familyOf, formatIp, type Ip } from '../../addresses/ip.js';
import { RANGE_RULES, type SubnetRange } from '../../config/subnet-range.js';
import { UserError } from '../../support/user-error.js';
import { firstFree, overlap, type Span, spanOf } from './allocate.js';
import type { SubnetEntry } from './entry.js';
import type { SubnetKey } from './subnet-key.js';

/** What a node wants. */
export interface Wish {
  /** Where the network configuration is, for messages. */
  origin: string;
  publicIp: Ip;
  subnets: SubnetRange;
  /** The subnet it had before. */
  previous: Cidr | undefined;
  /** undefined: no IPv6 subnet. */
  subnets6: SubnetRange | undefined;
  previous6: Cidr | undefined;
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
  const taken6 = entries.flatMap(({ key }) => (key.subnet6 === undefined ? [] : [spanOf(key.subnet6)]));
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
  if (!isWithin(subnet, subnets)) return false;
  if (subnets6 === undefined || subnet6 === undefined) return subnets6 === subnet6;
  return isWithin(subnet6, subnets6);
}

function isWithin({ base, prefixLength }: Cidr, { length, min, max }: SubnetRange): boolean {
  return prefixLength === length && base >= min && base <= max;
}

function clashes({ subnet, subnet6 }: SubnetKey, taken: readonly Span[], taken6: readonly Span[]): boolean {
  if (taken.some((span) => overlap(span, spanOf(subnet)))) return true;
  return subnet6 !== undefined && taken6.some((span) => overlap(span, spanOf(subnet6)));
}

function freeKey(
  { subnets, subnets6, origin }: Wish,
  taken: readonly Span[],
  taken6: readonly Span[],
  random: () => number,
): SubnetKey {
  const subnet = freeSubnet(subnets, taken, random, origin);
  return { subnet, subnet6: subnets6 && freeSubnet(subnets6, taken6, random, origin) };
}

/** @throws UserError when all are taken */
function freeSubnet(
  { length, min, max }: SubnetRange,
  taken: readonly Span[],
  random: () => number,
  origin: string,
): Cidr {
  const size = 1n << BigInt(bitsOf(familyOf(min)) - length);
  const free = firstFree({ min: BigInt(min), max: BigInt(max), size }, taken);
  const base = free[Math.floor(random() * free.length)];
  if (base === undefined) {
    const keys = RANGE_RULES[familyOf(min)];
    throw new UserError(
      `out of subnets: all of ${formatIp(min)} to ${formatIp(max)}, /${length} are taken; delete keys of nodes that are gone, or give ${origin} a larger ${keys.network} or a longer ${keys.length}`,
    );
  }
  return { base: typeof min === 'bigint' ? base : Number(base), prefixLength: length };
}
