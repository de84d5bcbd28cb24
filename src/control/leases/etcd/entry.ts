/** Entries of the nodes in etcd: key and value of each, parsed. */

import { formatCidr } from '../../addresses/cidr.js';
import { type Family, familiesIn, mapFamilies } from '../../addresses/family.js';
import { parseVtepMac } from '../../addresses/mac.js';
import type { NetConf } from '../../config/net-conf.js';
import { OncePerKey } from '../../support/once.js';
import { show } from '../../support/user-error.js';
import type { Lease, NodeLeases } from '../lease.js';
import { type LeaseValue, parseLeaseValue } from './lease-value.js';
import type { Long } from './library.js';
import type { KeyValue } from './protocol.js';
import type { Registry } from './registry.js';
import { parseSubnetKey, type SubnetKey, showIpv6 } from './subnet-key.js';

export interface SubnetEntry extends LeaseValue {
  /** The key without the common prefix. */
  name: string;
  key: SubnetKey;
  /** The key's lease in etcd; zero for a permanent key. */
  lease: Long;
  revision: Long;
}

/** A family's name in flannel's words. */
const LEASE = { ipv4: 'subnet', ipv6: 'v6 subnet' } as const satisfies Record<Family, string>;

/** Parses entries and logs each problem once per key until it changes. */
export class EntryReader {
  private readonly registry: Registry;
  /** With udp, leases of any backend are peers, as in flannel. */
  private readonly isVxlan: boolean;
  private readonly families: readonly Family[];
  private readonly problems = new OncePerKey();

  constructor(registry: Registry, { backend, networks }: NetConf) {
    this.registry = registry;
    this.isVxlan = backend.type === 'vxlan';
    this.families = familiesIn(networks);
  }

  /** Returns undefined for an invalid key or value, and logs it. */
  read(kv: KeyValue): SubnetEntry | undefined {
    const name = this.registry.nameOf(kv);
    try {
      const key = parseSubnetKey(name);
      if (key === undefined) throw new Error(`failed to parse subnet key ${show(name)}`);
      const value = parseLeaseValue(`${this.registry.subnets}${name}`, kv.value.toString());
      return { name, key, ...value, lease: kv.lease, revision: kv.modRevision };
    } catch (error) {
      this.problems.log(name, `Ignoring bad subnet node: ${(error as Error).message}`);
      return undefined;
    }
  }

  /**
   * Returns a peer's leases, or undefined for a key that is no lease. Where the fields are invalid, or of another backend,
   * the leases `before` stay, as with flanneld. Both are logged.
   */
  leasesOf(entry: SubnetEntry, before?: NodeLeases): NodeLeases | undefined {
    const { name, key, backendType, publicIps } = entry;
    if (!this.isVxlan) {
      this.problems.clear(name);
      return { ipv4: { subnet: key.ipv4, publicIp: publicIps.ipv4, vtepMac: undefined } };
    }
    if (backendType !== 'vxlan') {
      this.problems.log(
        name,
        `ignoring non-vxlan v4Subnet(${formatCidr(key.ipv4)}) v6Subnet(${showIpv6(key)}): type=${backendType}`,
      );
      return before;
    }
    const bad: string[] = [];
    const leases = mapFamilies(key, (subnet, family) => {
      if (!this.families.includes(family)) return undefined;
      const decoded = decode(entry, family);
      if (typeof decoded !== 'string') return { subnet, ...decoded };
      bad.push(`error decoding ${LEASE[family]} lease JSON: ${name}: ${decoded}`);
      return before?.[family];
    });
    if (bad.length > 0) this.problems.log(name, `Ignoring bad subnet node: ${bad.join('; ')}`);
    else this.problems.clear(name);
    return leases;
  }

  /** Forgets a deleted key, so that its problems are logged again if it returns. */
  forget(name: string): void {
    this.problems.clear(name);
  }
}

/** Returns the fields of one family's lease, or what is wrong with them. */
function decode(
  { publicIps, vtepMacs, problems }: SubnetEntry,
  family: Family,
): Omit<Lease, 'subnet'> | string {
  const publicIp = publicIps[family];
  const vtepMac = parseVtepMac(vtepMacs[family] ?? '');
  return publicIp === undefined || vtepMac === undefined
    ? (problems[family] ?? 'incomplete')
    : { publicIp, vtepMac };
}
