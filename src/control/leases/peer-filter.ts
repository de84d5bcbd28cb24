/**
 * Selects the leases of a cluster that the dataplane can represent together. A contradiction in a lease file refuses the
 * whole file, because its author just wrote it. In a cluster, the record of one wrong or dead node must not cut off the
 * others. There only one lease is left out: that of the node that is not ready, or the older one.
 *
 * Several nodes may have one public IP, such as a live node and the record of a dead one that had its address before.
 */

import { baseOf, type Cidr, containsAddress, formatCidr, lastOf } from '../addresses/cidr.js';
import { mapFamilies } from '../addresses/family.js';
import { formatIp, type Ip } from '../addresses/ip.js';
import { OnceEach } from '../support/once.js';
import type { Lease, LeaseSets, NodeLeases } from './lease.js';

/** Which of two contradicting leases stays. */
export interface Rank {
  /** Whether the source knows that the node is alive; equal for all nodes of a source that does not know. */
  ready: boolean;
  /** When the source got the lease, in any unit; the newer lease stays. */
  time: number;
}

export interface NamedLease {
  /** Its name at the source: a node's name or a key. */
  name: string;
  lease: Lease;
  rank: Rank;
}

/** A node of the cluster. */
export interface RankedLeases {
  leases: NodeLeases;
  rank: Rank;
}

/** Makes the sets of one node, with a filter for each family. */
export class LeaseSetFilter {
  private readonly filters = { ipv4: new PeerFilter(), ipv6: new PeerFilter() };

  /** Whether a lease was left out of the last sets, so that a change of rank may change them. */
  get hasContradictions(): boolean {
    return this.filters.ipv4.hasContradictions || this.filters.ipv6.hasContradictions;
  }

  /** Returns the leases of the node `name`, and those of `others` that do not contradict. */
  setsOf(name: string, own: NodeLeases, others: ReadonlyMap<string, RankedLeases>): LeaseSets {
    return mapFamilies(own, (ownLease, family) => {
      const candidates = [...others].flatMap(([other, { leases, rank }]) => {
        const { [family]: lease } = leases;
        return lease === undefined ? [] : [{ name: other, lease, rank }];
      });
      return { own: ownLease, peers: this.filters[family].accept({ name, lease: ownLease }, candidates) };
    });
  }
}

/** Logs each contradiction once for as long as it lasts. */
export class PeerFilter {
  hasContradictions = false;
  private readonly contradictions = new OnceEach();

  /** Returns the leases of `others`, by name, that contradict neither this node's lease nor each other; logs the rest. */
  accept(own: Pick<NamedLease, 'name' | 'lease'>, others: readonly NamedLease[]): Lease[] {
    const claims = new Claims(own);
    const contradictions: string[] = [];
    const accepted = [...others].sort(byRank).filter((candidate) => {
      const contradiction = claims.contradict(candidate);
      if (contradiction === undefined) claims.add(candidate);
      else contradictions.push(`${candidate.name} is left out: ${describe(candidate, contradiction)}`);
      return contradiction === undefined;
    });
    this.hasContradictions = contradictions.length > 0;
    this.contradictions.log(contradictions);
    // The order of the peers does not depend on the ranks: a rank alone changes no set.
    return accepted.sort((a, b) => compareNames(a, b)).map(({ lease }) => lease);
  }
}

function byRank(a: NamedLease, b: NamedLease): number {
  return Number(b.rank.ready) - Number(a.rank.ready) || b.rank.time - a.rank.time || compareNames(a, b);
}

function compareNames(a: NamedLease, b: NamedLease): number {
  return a.name < b.name ? -1 : 1;
}

const GONE = 'delete the record of a node that is gone';
/** A public IP inside a pod subnet: the kernel's route to the subnet leads into the tunnel. */
const LOOP = 'the tunnel would carry its own packets: choose a pod network apart from the nodes';

/** How a lease contradicts an accepted one. */
interface Contradiction {
  what: string;
  /** The owner of the accepted lease; undefined if the lease contradicts itself. */
  winner?: Claimant;
  remedy: string;
}

/** Describes a contradiction, which lease stays, and why. */
function describe({ rank }: NamedLease, { what, winner, remedy }: Contradiction): string {
  if (winner === undefined) return `${what}; ${remedy}`;
  return `${what}; the lease of ${winner.name} stays because ${reasonOf(winner.rank, rank)}; ${remedy}`;
}

function reasonOf(winner: Rank | undefined, loser: Rank): string {
  if (winner === undefined) return 'that is this node';
  if (winner.ready !== loser.ready) return 'only that node is ready';
  return winner.time > loser.time ? 'it is newer' : 'its name comes first';
}

/** The owner of an accepted lease; this node has no rank. */
interface Claimant {
  name: string;
  lease: Lease;
  rank?: Rank;
}

/** The addresses, MACs and subnets of the accepted leases, each with its owner. */
class Claims {
  private readonly own: Claimant;
  private readonly addresses = new Map<Ip, Claimant>();
  private readonly macs = new Map<string, Claimant>();
  /** By the subnet's text. */
  private readonly subnets = new Map<string, Claimant>();
  /** The prefix lengths of the subnets. */
  private readonly lengths = new Set<number>();
  /**
   * For each requested prefix length: the networks of that length around a claimed address, with the address's owner.
   */
  private readonly homes = new Map<number, Map<Ip, Claimant>>();

  constructor(own: Claimant) {
    this.own = own;
    this.add(own);
  }

  /** Returns how a lease contradicts the accepted ones; undefined when it does not. */
  contradict({ lease: { subnet, publicIp, vtepMac } }: NamedLease): Contradiction | undefined {
    const { own } = this;
    if (publicIp === own.lease.publicIp) {
      return {
        what: `its public IP ${formatIp(publicIp)} belongs to ${own.name} too`,
        winner: own,
        remedy: `${GONE}, or give each node its own with --iface or --public-ip`,
      };
    }
    const holder = vtepMac === undefined ? undefined : this.macs.get(vtepMac);
    if (holder !== undefined && holder.lease.publicIp !== publicIp) {
      return {
        what: `its VtepMAC ${vtepMac} belongs to ${holder.name} at ${formatIp(holder.lease.publicIp)} too`,
        winner: holder,
        remedy: `${GONE}, or give one of the two another MAC`,
      };
    }
    const overlap = this.overlapping(subnet);
    if (overlap !== undefined) {
      return {
        what: `its subnet ${formatCidr(subnet)} overlaps that of ${overlap.name}`,
        winner: overlap,
        remedy: GONE,
      };
    }
    if (containsAddress(subnet, publicIp)) {
      return { what: `its public IP ${formatIp(publicIp)} lies inside its own subnet`, remedy: LOOP };
    }
    const around = this.ownerAround(publicIp);
    if (around !== undefined) {
      const what = `its public IP ${formatIp(publicIp)} lies inside the subnet of ${around.name}`;
      return { what, winner: around, remedy: LOOP };
    }
    const inside = this.homesOf(subnet.prefixLength).get(subnet.base);
    if (inside !== undefined) {
      const what = `its subnet ${formatCidr(subnet)} contains the public IP of ${inside.name}`;
      return { what, winner: inside, remedy: LOOP };
    }
    return undefined;
  }

  /** Claims of a lease that shares an address or a MAC stay with the first owner. */
  add(claimant: Claimant): void {
    const { subnet, publicIp, vtepMac } = claimant.lease;
    if (!this.addresses.has(publicIp)) this.addresses.set(publicIp, claimant);
    if (vtepMac !== undefined && !this.macs.has(vtepMac)) this.macs.set(vtepMac, claimant);
    this.subnets.set(formatCidr(subnet), claimant);
    this.lengths.add(subnet.prefixLength);
    for (const [length, homes] of this.homes) homes.set(baseOf(publicIp, length), claimant);
  }

  private homesOf(length: number): ReadonlyMap<Ip, Claimant> {
    let homes = this.homes.get(length);
    if (homes === undefined) {
      homes = new Map([...this.addresses].map(([address, owner]) => [baseOf(address, length), owner]));
      this.homes.set(length, homes);
    }
    return homes;
  }

  /** Returns the owner of the subnet that an address lies in. */
  private ownerAround(address: Ip): Claimant | undefined {
    for (const prefixLength of this.lengths) {
      const owner = this.subnets.get(formatCidr({ base: baseOf(address, prefixLength), prefixLength }));
      if (owner !== undefined) return owner;
    }
    return undefined;
  }

  private overlapping(subnet: Cidr): Claimant | undefined {
    const { base, prefixLength } = subnet;
    const owner = this.ownerAround(base);
    if (owner !== undefined) return owner;
    // Only a shorter prefix than an accepted one can contain it; in a cluster with one length the search ends here.
    if ([...this.lengths].every((length) => length <= prefixLength)) return undefined;
    const last = lastOf(subnet);
    return [...this.subnets.values()].find(
      ({ lease }) => lease.subnet.base >= base && lease.subnet.base <= last,
    );
  }
}
