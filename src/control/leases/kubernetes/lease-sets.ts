/** Lease sets from the annotations of the nodes. A node with bad annotations is left out and does not affect the others. */

import { formatCidr } from '../../addresses/cidr.js';
import { bitsOf, type Family, familiesIn, familyName, mapFamilies } from '../../addresses/family.js';
import { isNodeAddress, parseIp } from '../../addresses/ip.js';
import { parseVtepMac } from '../../addresses/mac.js';
import type { NetConf } from '../../config/net-conf.js';
import { info, warn } from '../../support/log.js';
import { show } from '../../support/user-error.js';
import type { Lease, LeaseSets, NodeLeases } from '../lease.js';
import { PeerFilter } from '../peer-filter.js';
import { NAMES, vtepMacIn } from './annotations.js';
import type { NodeRecord } from './node-record.js';
import { podCidr } from './own-leases.js';

const NO_LEASES: NodeLeases = {};

export class LeaseSetBuilder {
  private readonly vxlan: boolean;
  private readonly families: readonly Family[];
  private readonly filters = { ipv4: new PeerFilter(), ipv6: new PeerFilter() };
  /** What was made of a record, and said of it once: another record, another look. */
  private readonly leases = new WeakMap<NodeRecord, NodeLeases>();
  /** The last sentences on each node that does not count. */
  private readonly said = new Map<string, string>();

  constructor(netConf: NetConf) {
    this.vxlan = netConf.backend.type === 'vxlan';
    this.families = familiesIn(netConf.networks);
  }

  /** The sets of the node `name`, with its peers by name; unchanged nodes keep their very lease objects. */
  build(nodes: ReadonlyMap<string, NodeRecord>, name: string, own: NodeLeases): LeaseSets {
    const others: { name: string; leases: NodeLeases }[] = [];
    for (const [other, record] of nodes) {
      if (other !== name) others.push({ name: other, leases: this.leasesOf(record) });
    }
    for (const other of this.said.keys()) if (!nodes.has(other)) this.said.delete(other);
    return mapFamilies(own, (ours, family) => ({
      own: ours,
      peers: this.filters[family].accept(
        { name, lease: ours },
        others.flatMap(({ name: other, leases }) => {
          const lease = leases[family];
          return lease === undefined ? [] : [{ name: other, lease }];
        }),
      ),
    }));
  }

  private leasesOf(record: NodeRecord): NodeLeases {
    let leases = this.leases.get(record);
    if (leases === undefined) {
      leases = this.read(record);
      this.leases.set(record, leases);
    }
    return leases;
  }

  private read(record: NodeRecord): NodeLeases {
    const { name, annotations } = record;
    if (annotations['kube-subnet-manager'] !== 'true') return NO_LEASES;
    const type = annotations['backend-type'] ?? '';
    if (this.vxlan && type !== 'vxlan') {
      const v4 = podCidr(record, 'ipv4');
      const v6 = podCidr(record, 'ipv6');
      this.sayOnce(
        name,
        info,
        `ignoring non-vxlan v4Subnet(${v4 ? formatCidr(v4) : '0.0.0.0/0'}) v6Subnet(${v6 ? formatCidr(v6) : '::/0'}): type=${type}`,
      );
      return NO_LEASES;
    }
    const leases: { [F in Family]?: Lease } = {};
    const bad: string[] = [];
    for (const family of this.families) {
      const lease = this.decode(record, family);
      if (typeof lease === 'string') bad.push(lease);
      else leases[family] = lease;
    }
    if (bad.length > 0) this.sayOnce(name, warn, `Error turning node "${name}" to lease: ${bad.join('; ')}`);
    else this.said.delete(name);
    return leases;
  }

  private sayOnce(name: string, say: (sentence: string) => void, sentence: string): void {
    if (this.said.get(name) !== sentence) say(sentence);
    this.said.set(name, sentence);
  }

  /** The lease of one family, or why there is none. */
  private decode(record: NodeRecord, family: Family): Lease | string {
    const { annotations } = record;
    const { data, publicIp: name } = NAMES[family];
    const subnet = podCidr(record, family);
    if (subnet === undefined) return `missing ${familyName(family)} address on n.Spec.PodCIDRs`;
    if (subnet.prefixLength < 1 || subnet.prefixLength >= bitsOf(family))
      return `its pod CIDR ${formatCidr(subnet)} is no subnet of pods`;
    const publicIp = parseIp(annotations[name] ?? '', family);
    if (publicIp === undefined || !isNodeAddress(publicIp)) {
      return `invalid IP address format: ${name} is ${show(annotations[name])}`;
    }
    if (!this.vxlan) return { subnet, publicIp, vtepMac: undefined };
    const vtepMac = readMac(annotations[data]);
    if (vtepMac === undefined) {
      const what = family === 'ipv4' ? 'subnet' : 'v6 subnet';
      return `error decoding ${what} lease JSON: no unicast VtepMAC in ${data} ${show(annotations[data])}`;
    }
    return { subnet, publicIp, vtepMac };
  }
}

function readMac(data: string | undefined): string | undefined {
  try {
    return parseVtepMac(vtepMacIn(data) ?? '');
  } catch {
    return undefined;
  }
}
