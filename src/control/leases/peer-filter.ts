/**
 * Which leases of a cluster can stand beside each other. A lease file with a contradiction is refused whole: someone just
 * wrote it. In a cluster one wrong node must not cost the others their network, so here the later one is left out.
 */

import { contains, formatCidr, formatIpv4, lastAddress, networkOf } from '../ipv4.js';
import { warn } from '../log.js';
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
  private readonly addresses = new Map<number, string>();
  private readonly macs = new Map<string, string>();
  /** By their text, `base/prefix`; and the lengths there are. */
  private readonly subnets = new Map<string, { base: number; name: string }>();
  private readonly prefixes = new Set<number>();
  /** For every length there is: the networks of that length that hold a claimed address, and whose it is. */
  private readonly homes = new Map<number, Map<number, string>>();

  constructor(own: NamedLease) {
    this.claim(own);
  }

  /** Why a lease cannot stand beside those before it; undefined, and it is one of them, when it can. */
  refuse(candidate: NamedLease): string | undefined {
    const { lease } = candidate;
    const { subnet, publicIp, vtepMac } = lease;
    const address = this.addresses.get(publicIp);
    if (address !== undefined) {
      return `its public IP ${formatIpv4(publicIp)} is that of ${address} too; give each node its own with --iface or --public-ip`;
    }
    const mac = vtepMac === undefined ? undefined : this.macs.get(vtepMac);
    if (mac !== undefined) return `its VtepMAC ${vtepMac} is that of ${mac} too`;
    const overlap = this.overlapping(subnet.base, subnet.prefix);
    if (overlap !== undefined) return `its subnet ${formatCidr(subnet)} overlaps that of ${overlap}`;
    const around =
      this.around(publicIp) ?? (contains(subnet, { base: publicIp, prefix: 32 }) ? 'itself' : undefined);
    if (around !== undefined) {
      return `its public IP ${formatIpv4(publicIp)} lies inside the subnet of ${around}; the tunnel would carry itself`;
    }
    const inside = this.homesOf(subnet.prefix).get(subnet.base);
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
    this.prefixes.add(subnet.prefix);
    for (const [prefix, homes] of this.homes) homes.set(networkOf(publicIp, prefix), name);
  }

  private homesOf(prefix: number): ReadonlyMap<number, string> {
    let homes = this.homes.get(prefix);
    if (homes === undefined) {
      homes = new Map([...this.addresses].map(([address, name]) => [networkOf(address, prefix), name]));
      this.homes.set(prefix, homes);
    }
    return homes;
  }

  /** Who has the subnet that an address lies in. */
  private around(address: number): string | undefined {
    for (const prefix of this.prefixes) {
      const subnet = this.subnets.get(formatCidr({ base: networkOf(address, prefix), prefix }));
      if (subnet !== undefined) return subnet.name;
    }
    return undefined;
  }

  private overlapping(base: number, prefix: number): string | undefined {
    const around = this.around(base);
    if (around !== undefined) return around;
    // A shorter prefix than some before may hold one of them; a cluster with one length never gets here.
    if ([...this.prefixes].every((other) => other <= prefix)) return undefined;
    const last = lastAddress({ base, prefix });
    return [...this.subnets.values()].find((other) => other.base >= base && other.base <= last)?.name;
  }
}
