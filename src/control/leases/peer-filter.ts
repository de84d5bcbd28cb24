/**
 * Selects the leases of a cluster that do not contradict each other. A contradiction in a lease file refuses the whole
 * file, because its author just wrote it. In a cluster, one wrong node must not cut off the others, so only the later lease
 * is left out.
 */

import { baseOf, type Cidr, containsAddress, formatCidr, lastOf } from '../addresses/cidr.js';
import { mapFamilies } from '../addresses/family.js';
import { formatIp, type Ip } from '../addresses/ip.js';
import { OnceEach } from '../support/once.js';
import type { Lease, LeaseSets, NodeLeases } from './lease.js';

export interface NamedLease {
  /** Its name at the source: a node's name or a key. */
  name: string;
  lease: Lease;
}

/** Makes the sets of one node, with a filter for each family. */
export class LeaseSetFilter {
  private readonly filters = { ipv4: new PeerFilter(), ipv6: new PeerFilter() };

  /** Returns the leases of the node `name`, and those of `others` that do not contradict. */
  setsOf(name: string, own: NodeLeases, others: ReadonlyMap<string, NodeLeases>): LeaseSets {
    return mapFamilies(own, (ownLease, family) => {
      const candidates = [...others].flatMap(([other, { [family]: lease }]) =>
        lease === undefined ? [] : [{ name: other, lease }],
      );
      return { own: ownLease, peers: this.filters[family].accept({ name, lease: ownLease }, candidates) };
    });
  }
}

/** Logs each contradiction once for as long as it lasts. */
export class PeerFilter {
  private readonly contradictions = new OnceEach();

  /** Returns the leases of `others`, by name, that contradict neither this node's lease nor each other; logs the rest. */
  accept(own: NamedLease, others: readonly NamedLease[]): Lease[] {
    const claims = new Claims();
    claims.add(own);
    const peers: Lease[] = [];
    const contradictions: string[] = [];
    for (const candidate of [...others].sort((a, b) => (a.name < b.name ? -1 : 1))) {
      const contradiction = claims.contradict(candidate);
      if (contradiction !== undefined) {
        contradictions.push(`${candidate.name} is left out: ${contradiction}`);
        continue;
      }
      claims.add(candidate);
      peers.push(candidate.lease);
    }
    this.contradictions.log(contradictions);
    return peers;
  }
}

/** The addresses, MACs and subnets of the accepted leases, each with its owner's name. */
class Claims {
  private readonly addresses = new Map<Ip, string>();
  private readonly macs = new Map<string, string>();
  /** By the subnet's text. */
  private readonly subnets = new Map<string, { base: Ip; name: string }>();
  /** The prefix lengths of the subnets. */
  private readonly lengths = new Set<number>();
  /**
   * For each requested prefix length: the networks of that length around a claimed address, with the address's owner.
   */
  private readonly homes = new Map<number, Map<Ip, string>>();

  /** Returns how a lease contradicts the accepted ones; undefined when it does not. */
  contradict({ lease: { subnet, publicIp, vtepMac } }: NamedLease): string | undefined {
    const address = this.addresses.get(publicIp);
    if (address !== undefined) {
      return `its public IP ${formatIp(publicIp)} belongs to ${address} too; give each node its own with --iface or --public-ip`;
    }
    const mac = vtepMac === undefined ? undefined : this.macs.get(vtepMac);
    if (mac !== undefined) return `its VtepMAC ${vtepMac} belongs to ${mac} too`;
    const overlap = this.overlapping(subnet);
    if (overlap !== undefined) return `its subnet ${formatCidr(subnet)} overlaps that of ${overlap}`;
    const around = this.ownerAround(publicIp) ?? (containsAddress(subnet, publicIp) ? 'itself' : undefined);
    if (around !== undefined) {
      return `its public IP ${formatIp(publicIp)} lies inside the subnet of ${around}; the tunnel would carry its own packets`;
    }
    const inside = this.homesOf(subnet.prefixLength).get(subnet.base);
    if (inside !== undefined) {
      return `its subnet ${formatCidr(subnet)} contains the public IP of ${inside}; the tunnel would carry its own packets`;
    }
    return undefined;
  }

  add({ name, lease: { subnet, publicIp, vtepMac } }: NamedLease): void {
    this.addresses.set(publicIp, name);
    if (vtepMac !== undefined) this.macs.set(vtepMac, name);
    this.subnets.set(formatCidr(subnet), { base: subnet.base, name });
    this.lengths.add(subnet.prefixLength);
    for (const [length, homes] of this.homes) homes.set(baseOf(publicIp, length), name);
  }

  private homesOf(length: number): ReadonlyMap<Ip, string> {
    let homes = this.homes.get(length);
    if (homes === undefined) {
      homes = new Map([...this.addresses].map(([address, name]) => [baseOf(address, length), name]));
      this.homes.set(length, homes);
    }
    return homes;
  }

  /** Returns the owner of the subnet that an address lies in. */
  private ownerAround(address: Ip): string | undefined {
    for (const prefixLength of this.lengths) {
      const subnet = this.subnets.get(formatCidr({ base: baseOf(address, prefixLength), prefixLength }));
      if (subnet !== undefined) return subnet.name;
    }
    return undefined;
  }

  private overlapping(subnet: Cidr): string | undefined {
    const { base, prefixLength } = subnet;
    const owner = this.ownerAround(base);
    if (owner !== undefined) return owner;
    // Only a shorter prefix than an accepted one can contain it; in a cluster with one length the search ends here.
    if ([...this.lengths].every((length) => length <= prefixLength)) return undefined;
    const last = lastOf(subnet);
    return [...this.subnets.values()].find((other) => other.base >= base && other.base <= last)?.name;
  }
}
