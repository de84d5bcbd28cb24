/**
 * Which leases of a cluster can stand beside each other. A lease file with a contradiction is refused whole: someone just
 * wrote it. In a cluster one wrong node must not cost the others their network, so here the later one is left out.
 */

import { baseOf, type Cidr, containsAddress, formatCidr, lastOf } from '../addresses/cidr.js';
import { formatIp, type Ip } from '../addresses/ip.js';
import { warn } from '../support/log.js';
import type { Lease } from './lease.js';

export interface NamedLease {
  /** What the source knows it by: a node's name, a key. */
  name: string;
  lease: Lease;
}

/** Keeps in mind what it has said, so that a contradiction is named once for as long as it lasts. */
export class PeerFilter {
  private said = new Set<string>();

  /** Those of `others`, by name, that contradict neither this node's lease nor each other; says why the rest do not count. */
  accept(own: NamedLease, others: readonly NamedLease[]): Lease[] {
    const taken = new Taken(own);
    const peers: Lease[] = [];
    const sentences = new Set<string>();
    for (const candidate of [...others].sort((a, b) => (a.name < b.name ? -1 : 1))) {
      const obstacle = taken.refuse(candidate);
      if (obstacle === undefined) peers.push(candidate.lease);
      else sentences.add(`${candidate.name} is left out: ${obstacle}`);
    }
    for (const sentence of sentences) if (!this.said.has(sentence)) warn(sentence);
    this.said = sentences;
    return peers;
  }
}

/** What the accepted leases have claimed, and who. */
class Taken {
  private readonly addresses = new Map<Ip, string>();
  private readonly macs = new Map<string, string>();
  /** By their text, `base/prefix`; and the lengths there are. */
  private readonly subnets = new Map<string, { base: Ip; name: string }>();
  private readonly prefixLengths = new Set<number>();
  /** For every length there is: the networks of that length that hold a claimed address, and whose it is. */
  private readonly homes = new Map<number, Map<Ip, string>>();

  constructor(own: NamedLease) {
    this.claim(own);
  }

  /** Why a lease cannot stand beside those before it; undefined, and it is one of them, when it can. */
  refuse(candidate: NamedLease): string | undefined {
    const { lease } = candidate;
    const { subnet, publicIp, vtepMac } = lease;
    const address = this.addresses.get(publicIp);
    if (address !== undefined) {
      return `its public IP ${formatIp(publicIp)} is that of ${address} too; give each node its own with --iface or --public-ip`;
    }
    const mac = vtepMac === undefined ? undefined : this.macs.get(vtepMac);
    if (mac !== undefined) return `its VtepMAC ${vtepMac} is that of ${mac} too`;
    const overlap = this.overlapping(subnet);
    if (overlap !== undefined) return `its subnet ${formatCidr(subnet)} overlaps that of ${overlap}`;
    const around = this.around(publicIp) ?? (containsAddress(subnet, publicIp) ? 'itself' : undefined);
    if (around !== undefined) {
      return `its public IP ${formatIp(publicIp)} lies inside the subnet of ${around}; the tunnel would carry itself`;
    }
    const inside = this.homesOf(subnet.prefixLength).get(subnet.base);
    if (inside !== undefined) {
      return `its subnet ${formatCidr(subnet)} holds the public IP of ${inside}; the tunnel would carry itself`;
    }
    this.claim(candidate);
    return undefined;
  }

  private claim({ name, lease: { subnet, publicIp, vtepMac } }: NamedLease): void {
    this.addresses.set(publicIp, name);
    if (vtepMac !== undefined) this.macs.set(vtepMac, name);
    this.subnets.set(formatCidr(subnet), { base: subnet.base, name });
    this.prefixLengths.add(subnet.prefixLength);
    for (const [prefixLength, homes] of this.homes) homes.set(baseOf(publicIp, prefixLength), name);
  }

  private homesOf(prefixLength: number): ReadonlyMap<Ip, string> {
    let homes = this.homes.get(prefixLength);
    if (homes === undefined) {
      homes = new Map([...this.addresses].map(([address, name]) => [baseOf(address, prefixLength), name]));
      this.homes.set(prefixLength, homes);
    }
    return homes;
  }

  /** Who has the subnet that an address lies in. */
  private around(address: Ip): string | undefined {
    for (const prefixLength of this.prefixLengths) {
      const subnet = this.subnets.get(formatCidr({ base: baseOf(address, prefixLength), prefixLength }));
      if (subnet !== undefined) return subnet.name;
    }
    return undefined;
  }

  private overlapping({ base, prefixLength }: Cidr): string | undefined {
    const around = this.around(base);
    if (around !== undefined) return around;
    // A shorter prefix than some before may hold one of them; a cluster with one length never gets here.
    if ([...this.prefixLengths].every((other) => other <= prefixLength)) return undefined;
    const last = lastOf({ base, prefixLength });
    return [...this.subnets.values()].find((other) => other.base >= base && other.base <= last)?.name;
  }
}
