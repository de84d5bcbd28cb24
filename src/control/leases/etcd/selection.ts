/** Selects a node's subnets from the entries in etcd: flannel's tryAcquireLease (pkg/subnet/etcd/local_manager.go). */

import type { Cidr } from '../../addresses/cidr.js';
import { FAMILIES, familiesIn, type PerFamily, valueIn } from '../../addresses/family.js';
import { familyOf, formatIp, type Ip } from '../../addresses/ip.js';
import { RANGE_RULES, type SubnetRange } from '../../config/subnet-range.js';
import { UserError } from '../../support/user-error.js';
import { firstFree, overlap } from './allocate.js';
import type { SubnetEntry } from './entry.js';
import { formatSubnetKey, mapWithIpv4, type SubnetKey, type WithIpv4 } from './subnet-key.js';

export interface SubnetRequest {
  /** Origin of the network configuration, for messages. */
  origin: string;
  /** The node's IPv4 address, which identifies its entry. */
  publicIp: Ip;
  /** The possible subnets of each requested family. */
  ranges: WithIpv4<SubnetRange>;
  /** The subnets of the node's earlier run. */
  previous: PerFamily<Cidr>;
}

/** The node's own entry, from an earlier run or reserved for the node. */
type OwnEntry = { kind: 'own'; entry: SubnetEntry };
/** The node's own entry, which does not fit the configuration and must be deleted first. */
type StaleEntry = { kind: 'stale'; entry: SubnetEntry };
/** Free subnets; `previous`: those of the node's earlier run. */
type FreeSubnets = { kind: 'free'; key: SubnetKey; previous: boolean };

export type UsableSelection = OwnEntry | FreeSubnets;
export type Selection = UsableSelection | StaleEntry;

/** Selects by the entries of all nodes. `random` returns 0 to below 1. @throws UserError when all subnets are taken */
export function select(
  entries: readonly SubnetEntry[],
  request: SubnetRequest,
  random: () => number,
): Selection {
  const own = entries.filter(({ publicIps }) => publicIps.ipv4 === request.publicIp);
  const fitting = own.filter(({ key }) => fits(key, request));
  const previous = previousKey(request);
  // A dead node's key may have the address too: the own one has the subnet of the earlier run, or is the newest.
  const previousName = previous && formatSubnetKey(previous);
  const best =
    fitting.find(({ name }) => name === previousName) ??
    fitting.sort((a, b) => b.revision.compare(a.revision))[0];
  if (best !== undefined) return { kind: 'own', entry: best };
  if (own[0] !== undefined) return { kind: 'stale', entry: own[0] };

  const taken = mapWithIpv4(request.ranges, (_, family) =>
    entries.flatMap(({ key: { [family]: subnet } }) => subnet ?? []),
  );
  if (previous !== undefined && fits(previous, request) && !overlapsAny(previous, taken)) {
    return { kind: 'free', key: previous, previous: true };
  }
  const key = mapWithIpv4(request.ranges, (range, family) =>
    freeSubnet(range, valueIn(taken, family), random, request.origin),
  );
  return { kind: 'free', key, previous: false };
}

/** Returns the subnets of the node's earlier run; undefined unless there is one for each requested family. */
export function previousKey({ ranges, previous: { ipv4, ipv6 } }: SubnetRequest): SubnetKey | undefined {
  if (ipv4 === undefined || (ranges.ipv6 !== undefined && ipv6 === undefined)) return undefined;
  return { ipv4, ipv6: ranges.ipv6 && ipv6 };
}

/** Returns whether the subnets are of exactly the requested families and within their ranges. */
export function fits(key: SubnetKey, { ranges }: SubnetRequest): boolean {
  return FAMILIES.every((family) => {
    const { [family]: subnet } = key;
    const { [family]: range } = ranges;
    if (subnet === undefined || range === undefined) return subnet === range;
    const { base, prefixLength } = subnet;
    return prefixLength === range.length && base >= range.min && base <= range.max;
  });
}

function overlapsAny(key: SubnetKey, taken: WithIpv4<Cidr[]>): boolean {
  return familiesIn(key).some((family) => {
    const subnet = valueIn(key, family);
    return taken[family]?.some((other) => overlap(subnet, other));
  });
}

/** @throws UserError when all are taken */
function freeSubnet(range: SubnetRange, taken: readonly Cidr[], random: () => number, origin: string): Cidr {
  const free = firstFree(range, taken);
  const subnet = free[Math.floor(random() * free.length)];
  if (subnet !== undefined) return subnet;
  const { length, min, max } = range;
  const keys = RANGE_RULES[familyOf(min)];
  throw new UserError(
    `out of subnets: all of ${formatIp(min)} to ${formatIp(max)}, /${length} are taken; delete keys of removed nodes, or give ${origin} a larger ${keys.network} or a longer ${keys.length}`,
  );
}
