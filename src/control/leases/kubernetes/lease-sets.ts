/** Lease sets from the annotations of the nodes. A node with bad annotations is left out and does not affect the others. */

import { formatCidr } from '../../addresses/cidr.js';
import { bitsOf, type Family, familiesIn, familyName, perFamily } from '../../addresses/family.js';
import { isNodeAddress, parseIp } from '../../addresses/ip.js';
import { parseVtepMac } from '../../addresses/mac.js';
import type { NetConf } from '../../config/net-conf.js';
import { info, warn } from '../../support/log.js';
import { OncePerKey } from '../../support/once.js';
import { show } from '../../support/user-error.js';
import type { Lease, LeaseSets, NodeLeases } from '../lease.js';
import { LeaseSetFilter } from '../peer-filter.js';
import { FAMILY_ANNOTATIONS, vtepMacIn } from './annotations.js';
import type { NodeRecord } from './node-record.js';
import { podCidr } from './own-leases.js';

export class LeaseSetBuilder {
  private readonly isVxlan: boolean;
  private readonly families: readonly Family[];
  private readonly filter = new LeaseSetFilter();
  /** Decoded leases by record: an unchanged record is neither decoded nor logged again. */
  private readonly decoded = new WeakMap<NodeRecord, NodeLeases>();
  private readonly problems = new OncePerKey();

  constructor({ backend, networks }: NetConf) {
    this.isVxlan = backend.type === 'vxlan';
    this.families = familiesIn(networks);
  }

  /** Returns the sets of the node `name`, peers by name; unchanged nodes keep their lease objects. */
  build(nodes: ReadonlyMap<string, NodeRecord>, name: string, own: NodeLeases): LeaseSets {
    const others = new Map<string, NodeLeases>();
    for (const [other, record] of nodes) if (other !== name) others.set(other, this.leasesOf(record));
    this.problems.retain((node) => nodes.has(node));
    return this.filter.setsOf(name, own, others);
  }

  private leasesOf(record: NodeRecord): NodeLeases {
    const known = this.decoded.get(record);
    if (known !== undefined) return known;
    const leases = this.decode(record);
    this.decoded.set(record, leases);
    return leases;
  }

  private decode(record: NodeRecord): NodeLeases {
    const { name, annotations } = record;
    if (annotations['kube-subnet-manager'] !== 'true') return {};
    const type = annotations['backend-type'] ?? '';
    if (this.isVxlan && type !== 'vxlan') {
      const [v4, v6] = [podCidr(record, 'ipv4'), podCidr(record, 'ipv6')];
      this.problems.log(
        name,
        `ignoring non-vxlan v4Subnet(${v4 ? formatCidr(v4) : '0.0.0.0/0'}) v6Subnet(${v6 ? formatCidr(v6) : '::/0'}): type=${type}`,
        info,
      );
      return {};
    }
    const bad: string[] = [];
    const leases = perFamily(this.families, (family) => {
      const lease = this.decodeFamily(record, family);
      if (typeof lease !== 'string') return lease;
      bad.push(lease);
      return undefined;
    });
    if (bad.length > 0)
      this.problems.log(name, `Error turning node "${name}" to lease: ${bad.join('; ')}`, warn);
    else this.problems.clear(name);
    return leases;
  }

  /** Returns the lease of one family, or what is wrong with it. */
  private decodeFamily(record: NodeRecord, family: Family): Lease | string {
    const { annotations } = record;
    const { data, publicIp: name } = FAMILY_ANNOTATIONS[family];
    const subnet = podCidr(record, family);
    if (subnet === undefined) return `missing ${familyName(family)} address on n.Spec.PodCIDRs`;
    if (subnet.prefixLength < 1 || subnet.prefixLength >= bitsOf(family))
      return `its pod CIDR ${formatCidr(subnet)} is not a subnet for pods`;
    const publicIp = parseIp(annotations[name] ?? '', family);
    if (publicIp === undefined || !isNodeAddress(publicIp)) {
      return `invalid IP address format: ${name} is ${show(annotations[name])}`;
    }
    if (!this.isVxlan) return { subnet, publicIp, vtepMac: undefined };
    const vtepMac = macIn(annotations[data]);
    if (vtepMac === undefined) {
      const what = family === 'ipv4' ? 'subnet' : 'v6 subnet';
      return `error decoding ${what} lease JSON: no unicast VtepMAC in ${data} ${show(annotations[data])}`;
    }
    return { subnet, publicIp, vtepMac };
  }
}

function macIn(data: string | undefined): string | undefined {
  try {
    return parseVtepMac(vtepMacIn(data) ?? '');
  } catch {
    return undefined;
  }
}
