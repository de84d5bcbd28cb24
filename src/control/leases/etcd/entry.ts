/** What is found under a node's key. */

import { formatCidr, type Ipv4 } from '../../ipv4.js';
import { warn } from '../../log.js';
import { parseVtepMac } from '../../mac.js';
import { show } from '../../user-error.js';
import type { Lease } from '../lease.js';
import { parseLeaseValue } from './lease-value.js';
import type { Long } from './library.js';
import type { KeyValue } from './protocol.js';
import type { Registry } from './registry.js';
import { parseSubnetKey, type SubnetKey, showSubnet6 } from './subnet-key.js';

export interface SubnetEntry {
  /** The key without what all have in front. */
  name: string;
  key: SubnetKey;
  publicIp: Ipv4;
  backendType: string;
  vtepMac: string | undefined;
  /** etcd's lease; zero of a key that stays. */
  lease: Long;
  revision: Long;
}

/** Reads keys, and says of each that is no good what is wrong with it, once for as long as it stays so. */
export class EntryReader {
  private readonly registry: Registry;
  /** The VNI with backend vxlan; undefined with udp, which takes leases of any backend, as flannel's does. */
  private readonly vni: number | undefined;
  private readonly said = new Map<string, string>();

  constructor(registry: Registry, vni: number | undefined) {
    this.registry = registry;
    this.vni = vni;
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

  /** The lease of a peer; undefined, and said, when it is of another backend. @throws Error when its MAC is no good */
  leaseOf({ name, key, publicIp, backendType, vtepMac }: SubnetEntry): Lease | undefined {
    const { subnet, subnet6 } = key;
    if (this.vni === undefined) return this.good(name, { subnet, publicIp, vtepMac: undefined });
    if (backendType !== 'vxlan') {
      this.sayOnce(
        name,
        `ignoring non-vxlan v4Subnet(${formatCidr(subnet)}) v6Subnet(${showSubnet6(subnet6)}): type=${backendType}`,
      );
      return undefined;
    }
    const mac = parseVtepMac(vtepMac ?? '');
    if (mac === undefined) {
      throw new Error(
        `error decoding subnet lease JSON: ${name}: BackendData.VtepMAC ${show(vtepMac)} is no unicast MAC`,
      );
    }
    return this.good(name, { subnet, publicIp, vtepMac: mac });
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

  private good(name: string, lease: Lease): Lease {
    this.said.delete(name);
    return lease;
  }
}
