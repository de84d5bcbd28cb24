/** The value of a node's key: the fields of LeaseAttrs (pkg/lease/lease.go) as JSON, in flannel's order. */

import type { PerFamily } from '../../addresses/family.js';
import { formatIp, type Ip, isNodeAddress, parseIp } from '../../addresses/ip.js';
import type { BackendConf } from '../../config/net-conf.js';
import { JsonFile, type JsonObject } from '../../support/json-file.js';
import { UserError } from '../../support/user-error.js';
import { type Lease, vtepMacOf } from '../lease.js';
import type { WithIpv4 } from './subnet-key.js';

/** A value that a node or an operator wrote. */
export interface LeaseValue {
  /** A missing or invalid IPv6 address is absent. */
  publicIps: WithIpv4<Ip>;
  /** Empty with backend udp. */
  backendType: string;
  /** VtepMAC of BackendData and of BackendV6Data, unchecked. */
  vtepMacs: PerFamily<string>;
}

/** Formats a value byte for byte as flannel does: a missing IPv6 address is null, other missing fields are absent. */
export function formatLeaseValue({ ipv4, ipv6 }: WithIpv4<Lease>, backend: BackendConf): string {
  const vxlan = backend.type === 'vxlan';
  const dataOf = (lease: Lease | undefined): object | undefined =>
    vxlan && lease ? { VNI: backend.vni, VtepMAC: vtepMacOf(lease) } : undefined;
  return JSON.stringify({
    PublicIP: formatIp(ipv4.publicIp),
    PublicIPv6: ipv6 === undefined ? null : formatIp(ipv6.publicIp),
    BackendType: vxlan ? 'vxlan' : undefined,
    BackendData: dataOf(ipv4),
    BackendV6Data: dataOf(ipv6),
  });
}

/**
 * Parses the fields that Weft needs, and ignores all others.
 * @param key the whole key, for messages
 * @throws UserError naming the key, the value and what is wrong
 */
export function parseLeaseValue(key: string, text: string): LeaseValue {
  const { root } = JsonFile.parse('--etcd-prefix', key, text);
  const ipv4 = nodeAddress(root.string('PublicIP'));
  if (typeof ipv4 !== 'number') throw root.error('PublicIP', 'not the IPv4 address of a node');
  const backendType = root.string('BackendType') ?? '';
  // Other backends have other data.
  const isVxlan = backendType === 'vxlan';
  const mac = isVxlan ? root.object('BackendData')?.string('VtepMAC') : undefined;
  const ipv6 = parseIpv6Fields(root, isVxlan);
  return {
    publicIps: { ipv4, ipv6: ipv6.publicIp },
    backendType,
    vtepMacs: { ipv4: mac, ipv6: ipv6.mac },
  };
}

/** Parses the IPv6 fields; invalid fields count as missing, because the IPv4 lease is valid without them. */
function parseIpv6Fields(
  root: JsonObject,
  isVxlan: boolean,
): { publicIp?: Ip | undefined; mac?: string | undefined } {
  try {
    const address = nodeAddress(root.string('PublicIPv6'));
    return {
      publicIp: typeof address === 'bigint' ? address : undefined,
      mac: isVxlan ? root.object('BackendV6Data')?.string('VtepMAC') : undefined,
    };
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    return {};
  }
}

function nodeAddress(text: string | undefined): Ip | undefined {
  const ip = parseIp(text ?? '');
  return ip !== undefined && isNodeAddress(ip) ? ip : undefined;
}
