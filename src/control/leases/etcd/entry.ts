/** What is found under a node's key. */

import { formatCidr } from '../../addresses/cidr.js';
import type { Family } from '../../addresses/family.js';
import type { Ip } from '../../addresses/ip.js';
import { parseVtepMac } from '../../addresses/mac.js';
import { warn } from '../../support/log.js';
import { show } from '../../support/user-error.js';
import type { Lease, NodeLeases } from '../lease.js';
import { parseLeaseValue } from './lease-value.js';
import type { Long } from './library.js';
import type { KeyValue } from './protocol.js';
import type { Registry } from './registry.js';
import { parseSubnetKey, type SubnetKey, showSubnet6 } from './subnet-key.js';

export interface SubnetEntry {
  /** The key without what all have in front. */
  name: string;
  key: SubnetKey;
  publicIp: Ip;
  publicIpv6: Ip | undefined;
  backendType: string;
  vtepMac: string | undefined;
  vtepMac6: string | undefined;
  /** etcd's lease; zero of a key that stays. */
  lease: Long;
  revision: Long;
}

/** Reads keys, and says of each that is no good what is wrong with it, once for as long as it stays so. */
export class EntryReader {
  private readonly registry: Registry;
  /** The VNI with backend vxlan; undefined with udp, which takes leases of any backend, as flannel's does. */
  private readonly vni: number | undefined;
  /** Whether the cluster has IPv6, so that a lease is to have an IPv6 half. */
  private readonly ipv6: boolean;
  private readonly said = new Map<string, string>();

  constructor(registry: Registry, vni: number | undefined, ipv6 = false) {
    this.registry = registry;
    this.vni = vni;
    this.ipv6 = ipv6;
  }

  /** Undefined, and said, for a key or value that is no node's. */
  read(kv: KeyValue): SubnetEntry | undefined {
    const name = this.registry.nameOf(kv);
    try {
      const key = parseSubnetKey(name);
      if (key === undefined) throw new Error(`failed to parse subnet key ${show(name)}`);
      const value = parseLeaseValue(`${this.registry.subnets}${name}`, kv.value.toString());
      return { name, key, ...value, lease: kv.lease, revision: kv.modRevision };
    } catch (error) {
      this.sayOnce(name, `Ignoring bad subnet node: ${(error as Error).message}`);
      return undefined;
    }
  }

  /**
   * The leases of a peer; undefined, and said, when they are of another backend. A half that is no good is said too, and
   * then as it is in `before`; one that the node has not is not there.
   */
  leasesOf(entry: SubnetEntry, before: NodeLeases): NodeLeases | undefined {
    const { name, key, publicIp, publicIpv6, backendType, vtepMac, vtepMac6 } = entry;
    const { subnet, subnet6 } = key;
    if (this.vni === undefined) {
      this.said.delete(name);
      return { ipv4: { subnet, publicIp, vtepMac: undefined } };
    }
    if (backendType !== 'vxlan') {
      this.sayOnce(
        name,
        `ignoring non-vxlan v4Subnet(${formatCidr(subnet)}) v6Subnet(${showSubnet6(subnet6)}): type=${backendType}`,
      );
      return undefined;
    }
    const leases: { [F in Family]?: Lease | undefined } = {};
    const bad: string[] = [];
    const mac = parseVtepMac(vtepMac ?? '');
    if (mac !== undefined) leases.ipv4 = { subnet, publicIp, vtepMac: mac };
    else {
      leases.ipv4 = before.ipv4;
      bad.push(
        `error decoding subnet lease JSON: ${name}: BackendData.VtepMAC ${show(vtepMac)} is no unicast MAC`,
      );
    }
    if (this.ipv6 && subnet6 !== undefined) {
      const mac6 = parseVtepMac(vtepMac6 ?? '');
      if (mac6 !== undefined && publicIpv6 !== undefined) {
        leases.ipv6 = { subnet: subnet6, publicIp: publicIpv6, vtepMac: mac6 };
      } else {
        leases.ipv6 = before.ipv6;
        const what =
          publicIpv6 === undefined
            ? 'PublicIPv6 is no address that a node can have'
            : `BackendV6Data.VtepMAC ${show(vtepMac6)} is no unicast MAC`;
        bad.push(`error decoding v6 subnet lease JSON: ${name}: ${what}`);
      }
    }
    if (bad.length > 0) this.sayOnce(name, `Ignoring bad subnet node: ${bad.join('; ')}`);
    else this.said.delete(name);
    return leases;
  }

  sayOnce(name: string, sentence: string): void {
    if (this.said.get(name) === sentence) return;
    this.said.set(name, sentence);
    warn(sentence);
  }

  /** A key is gone: what was said of it may be said again. */
  forget(name: string): void {
    this.said.delete(name);
  }
}
