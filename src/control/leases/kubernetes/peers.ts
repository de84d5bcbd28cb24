/** The leases of the other nodes, as their annotations say. A node whose annotations are no good costs the others nothing. */

import { formatCidr, isNodeAddress, parseIpv4 } from '../../ipv4.js';
import { info, warn } from '../../log.js';
import { parseVtepMac } from '../../mac.js';
import { show } from '../../user-error.js';
import type { Lease } from '../lease.js';
import { type NamedLease, PeerFilter } from '../peer-filter.js';
import { vtepMacIn } from './annotations.js';
import type { NodeRecord } from './node-record.js';
import { ipv4PodCidr } from './own-lease.js';

export class PeerList {
  private readonly vxlan: boolean;
  private readonly filter = new PeerFilter();
  /** What was made of a record, and said of it once: another record, another look. */
  private readonly leases = new WeakMap<NodeRecord, Lease | undefined>();
  /** The last sentence on each node that does not count. */
  private readonly said = new Map<string, string>();

  constructor(backendType: 'vxlan' | 'udp') {
    this.vxlan = backendType === 'vxlan';
  }

  /** The peers of `own`, by name; unchanged nodes keep their very lease objects. */
  of(nodes: ReadonlyMap<string, NodeRecord>, own: NamedLease): Lease[] {
    const others: NamedLease[] = [];
    for (const [name, record] of nodes) {
      if (name === own.name) continue;
      const lease = this.leaseOf(record);
      if (lease !== undefined) others.push({ name, lease });
    }
    for (const name of this.said.keys()) if (!nodes.has(name)) this.said.delete(name);
    return this.filter.accept(own, others);
  }

  private leaseOf(record: NodeRecord): Lease | undefined {
    if (this.leases.has(record)) return this.leases.get(record);
    const lease = this.read(record);
    this.leases.set(record, lease);
    return lease;
  }

  private read(record: NodeRecord): Lease | undefined {
    const { name, annotations } = record;
    if (annotations['kube-subnet-manager'] !== 'true') return undefined;
    const type = annotations['backend-type'] ?? '';
    if (this.vxlan && type !== 'vxlan') {
      const { podCidrs } = record;
      const subnet = ipv4PodCidr(record);
      const v4 = subnet === undefined ? '0.0.0.0/0' : formatCidr(subnet);
      const v6 = podCidrs.find((cidr) => cidr.includes(':')) ?? '::/0';
      return this.leaveOut(name, info, `ignoring non-vxlan v4Subnet(${v4}) v6Subnet(${v6}): type=${type}`);
    }
    const lease = this.decode(record);
    if (typeof lease === 'string') {
      return this.leaveOut(name, warn, `Error turning node "${name}" to lease: ${lease}`);
    }
    this.said.delete(name);
    return lease;
  }

  private leaveOut(name: string, say: (sentence: string) => void, sentence: string): undefined {
    if (this.said.get(name) !== sentence) say(sentence);
    this.said.set(name, sentence);
  }

  /** The lease, or why there is none. */
  private decode(record: NodeRecord): Lease | string {
    const { annotations } = record;
    const subnet = ipv4PodCidr(record);
    if (subnet === undefined) return 'missing IPv4 address on n.Spec.PodCIDRs';
    if (subnet.prefix < 1 || subnet.prefix > 31)
      return `its pod CIDR ${formatCidr(subnet)} is no subnet of pods`;
    const address = parseIpv4(annotations['public-ip'] ?? '');
    if (address === undefined || !isNodeAddress(address)) {
      return `invalid IP address format: public-ip is ${show(annotations['public-ip'])}`;
    }
    if (!this.vxlan) return { subnet, publicIp: address, vtepMac: undefined };
    const vtepMac = readMac(annotations['backend-data']);
    if (vtepMac === undefined) {
      return `error decoding subnet lease JSON: no unicast VtepMAC in backend-data ${show(annotations['backend-data'])}`;
    }
    return { subnet, publicIp: address, vtepMac };
  }
}

function readMac(data: string | undefined): string | undefined {
  try {
    return parseVtepMac(vtepMacIn(data) ?? '');
  } catch {
    return undefined;
  }
}
