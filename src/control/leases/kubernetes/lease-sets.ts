/**
 * Lease sets from the annotations of the nodes. A node with bad annotations does not affect the others, and keeps its last
 * valid lease until it is deleted. flanneld ignores such an update too (pkg/subnet/kube/kube.go, handleUpdateLeaseEvent).
 */

import { formatCidr } from '../../addresses/cidr.js';
import { bitsOf, type Family, familiesIn, familyName, perFamily } from '../../addresses/family.js';
import { isNodeAddress, parseIp } from '../../addresses/ip.js';
import type { NetConf } from '../../config/net-conf.js';
import { info, warn } from '../../support/log.js';
import { OncePerKey } from '../../support/once.js';
import { show } from '../../support/user-error.js';
import type { Lease, LeaseSets, NodeLeases } from '../lease.js';
import { LeaseSetFilter, type RankedLeases } from '../peer-filter.js';
import { FAMILY_ANNOTATIONS, validVtepMacIn } from './annotations.js';
import type { NodeRecord } from './node-record.js';
import { podCidr } from './own-leases.js';

/** The end of a message about a node that keeps its last valid lease. */
const KEPT = '; its last valid lease stays in use';

export class LeaseSetBuilder {
  private readonly isVxlan: boolean;
  private readonly families: readonly Family[];
  private readonly filter = new LeaseSetFilter();
  /** Decoded nodes by name: an unchanged record is neither decoded nor logged again. */
  private readonly decoded = new Map<string, { record: NodeRecord; leases: NodeLeases }>();
  private readonly problems = new OncePerKey();

  constructor({ backend, networks }: NetConf) {
    this.isVxlan = backend.type === 'vxlan';
    this.families = familiesIn(networks);
  }

  /** Returns the sets of the node `name`, peers by name; unchanged nodes keep their lease objects. */
  build(nodes: ReadonlyMap<string, NodeRecord>, name: string, own: NodeLeases): LeaseSets {
    const others = new Map<string, RankedLeases>();
    for (const [other, record] of nodes) {
      if (other === name) continue;
      const rank = { ready: record.ready, time: record.createdAt };
      others.set(other, { leases: this.leasesOf(record), rank });
    }
    for (const known of this.decoded.keys()) if (!others.has(known)) this.decoded.delete(known);
    this.problems.retain((node) => nodes.has(node));
    return this.filter.setsOf(name, own, others);
  }

  private leasesOf(record: NodeRecord): NodeLeases {
    const known = this.decoded.get(record.name);
    if (known?.record === record) return known.leases;
    // Another uid is another node, registered under the same name.
    const before = known?.record.uid === record.uid ? known.leases : {};
    const leases = this.decode(record, before);
    this.decoded.set(record.name, { record, leases });
    return leases;
  }

  /** Returns the leases of a node; where its fields are invalid, those of `before`. */
  private decode(record: NodeRecord, before: NodeLeases): NodeLeases {
    const { name, annotations } = record;
    const kept = familiesIn(before).length > 0 ? KEPT : '';
    const managed = annotations['kube-subnet-manager'];
    if (managed !== 'true') {
      // Without a lease before, this is a node that never ran flannel.
      if (kept !== '')
        this.problems.log(
          name,
          `node "${name}": kube-subnet-manager is ${textOf(managed)}, not "true"${kept}`,
        );
      return before;
    }
    const type = annotations['backend-type'] ?? '';
    if (this.isVxlan && type !== 'vxlan') {
      const [v4, v6] = [podCidr(record, 'ipv4'), podCidr(record, 'ipv6')];
      this.problems.log(
        name,
        `ignoring non-vxlan v4Subnet(${v4 ? formatCidr(v4) : '0.0.0.0/0'}) v6Subnet(${v6 ? formatCidr(v6) : '::/0'}): type=${type}${kept}`,
        info,
      );
      return before;
    }
    const bad: string[] = [];
    let keeps = false;
    const leases = perFamily(this.families, (family) => {
      const lease = this.decodeFamily(record, family);
      if (typeof lease !== 'string') return lease;
      bad.push(lease);
      keeps ||= before[family] !== undefined;
      return before[family];
    });
    if (bad.length > 0)
      this.problems.log(
        name,
        `Error turning node "${name}" to lease: ${bad.join('; ')}${keeps ? KEPT : ''}`,
        warn,
      );
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
      return `invalid IP address format: ${name} is ${textOf(annotations[name])}`;
    }
    if (!this.isVxlan) return { subnet, publicIp, vtepMac: undefined };
    const vtepMac = validVtepMacIn(annotations[data]);
    if (vtepMac === undefined) {
      const what = family === 'ipv4' ? 'subnet' : 'v6 subnet';
      return `error decoding ${what} lease JSON: ${data} is ${textOf(annotations[data])}, without a unicast VtepMAC`;
    }
    return { subnet, publicIp, vtepMac };
  }
}

/** Formats an annotation for a message. */
function textOf(annotation: string | undefined): string {
  return annotation === undefined ? 'missing' : show(annotation);
}
