/**
 * Which leases of a cluster can stand beside each other. A lease file with a contradiction is refused whole: someone just
 * wrote it. In a cluster one wrong node must not cost the others their network, so here the later one is left out.
 */

import {
  baseOf,
  formatIp,
  formatSubnet,
  holdsAddress,
  type Ip,
  lastOf,
  type Subnet,
} from '../addresses/address.js';
import type { Ipv4 } from '../addresses/ipv4.js';
import { warn } from '../support/log.js';
import type { Lease } from './lease.js';

export interface NamedLease<A extends Ip = Ipv4> {
  /** What the source knows it by: a node's name, a key. */
  name: string;
  lease: Lease<A>;
}

/** Keeps in mind what it has said, so that a contradiction is named once for as long as it lasts. */
export class PeerFilter {
  private said = new Set<string>();

  /** Those of `others`, by name, that contradict neither this node's lease nor each other; says why the rest do not count. */
  accept<A extends Ip>(own: NamedLease<A>, others: readonly NamedLease<A>[]): Lease<A>[] {
    const taken = new Taken(own);
    const peers: Lease<A>[] = [];
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
  private readonly prefixes = new Set<number>();
  /** For every length there is: the networks of that length that hold a claimed address, and whose it is. */
  private readonly homes = new Map<number, Map<Ip, string>>();

  constructor(own: NamedLease<Ip>) {
    this.claim(own);
  }

  /** Why a lease cannot stand beside those before it; undefined, and it is one of them, when it can. */
  refuse(candidate: NamedLease<Ip>): string | undefined {
    const { lease } = candidate;
    const { subnet, publicIp, vtepMac } = lease;
    const address = this.addresses.get(publicIp);
    if (address !== undefined) {
      return `its public IP ${formatIp(publicIp)} is that of ${address} too; give each node its own with --iface or --public-ip`;
    }
    const mac = vtepMac === undefined ? undefined : this.macs.get(vtepMac);
    if (mac !== undefined) return `its VtepMAC ${vtepMac} is that of ${mac} too`;
    const overlap = this.overlapping(subnet);
    if (overlap !== undefined) return `its subnet ${formatSubnet(subnet)} overlaps that of ${overlap}`;
    const around = this.around(publicIp) ?? (holdsAddress(subnet, publicIp) ? 'itself' : undefined);
    if (around !== undefined) {
      return `its public IP ${formatIp(publicIp)} lies inside the subnet of ${around}; the tunnel would carry itself`;
    }
    const inside = this.homesOf(subnet.prefix).get(subnet.base);
    if (inside !== undefined) {
      return `its subnet ${formatSubnet(subnet)} holds the public IP of ${inside}; the tunnel would carry itself`;
    }
    this.claim(candidate);
    return undefined;
  }

  private claim({ name, lease: { subnet, publicIp, vtepMac } }: NamedLease<Ip>): void {
    this.addresses.set(publicIp, name);
    if (vtepMac !== undefined) this.macs.set(vtepMac, name);
    this.subnets.set(formatSubnet(subnet), { base: subnet.base, name });
    this.prefixes.add(subnet.prefix);
    for (const [prefix, homes] of this.homes) homes.set(baseOf(publicIp, prefix), name);
  }

  private homesOf(prefix: number): ReadonlyMap<Ip, string> {
    let homes = this.homes.get(prefix);
    if (homes === undefined) {
      homes = new Map([...this.addresses].map(([address, name]) => [baseOf(address, prefix), name]));
      this.homes.set(prefix, homes);
    }
    return homes;
  }

  /** Who has the subnet that an address lies in. */
  private around(address: Ip): string | undefined {
    for (const prefix of this.prefixes) {
      const subnet = this.subnets.get(formatSubnet({ base: baseOf(address, prefix), prefix }));
      if (subnet !== undefined) return subnet.name;
    }
    return undefined;
  }

  private overlapping({ base, prefix }: Subnet): string | undefined {
    const around = this.around(base);
    if (around !== undefined) return around;
    // A shorter prefix than some before may hold one of them; a cluster with one length never gets here.
    if ([...this.prefixes].every((other) => other <= prefix)) return undefined;
    const last = lastOf({ base, prefix });
    return [...this.subnets.values()].find((other) => other.base >= base && other.base <= last)?.name;
  }
}
