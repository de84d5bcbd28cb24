/** The value of a node's key: the fields of LeaseAttrs (pkg/lease/lease.go) as JSON, in flannel's order. */

import { FAMILIES, type Family, type PerFamily, perFamily } from '../../addresses/family.js';
import { formatIp, type Ip, isNodeAddress, parseIp } from '../../addresses/ip.js';
import { parseVtepMac } from '../../addresses/mac.js';
import type { BackendConf } from '../../config/net-conf.js';
import { JsonFile, type JsonObject } from '../../support/json-file.js';
import { show, UserError } from '../../support/user-error.js';
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
  /** Why a family's fields are no vxlan lease; absent if they are one. */
  problems: PerFamily<string>;
}

/** The fields of one family. */
const FIELDS = {
  ipv4: { address: 'PublicIP', data: 'BackendData' },
  ipv6: { address: 'PublicIPv6', data: 'BackendV6Data' },
} as const satisfies Record<Family, object>;

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
  const publicIp = nodeAddress(root, 'ipv4');
  if (publicIp === undefined) throw root.error('PublicIP', 'not the IPv4 address of a node');
  const backendType = root.string('BackendType') ?? '';
  // Other backends have other data.
  const isVxlan = backendType === 'vxlan';
  const mac = isVxlan ? root.object('BackendData')?.string('VtepMAC') : undefined;
  const ipv6 = parseIpv6Fields(root, isVxlan);
  return {
    publicIps: { ipv4: publicIp, ipv6: ipv6.publicIp },
    backendType,
    vtepMacs: { ipv4: mac, ipv6: ipv6.mac },
    problems: perFamily(FAMILIES, (family) => (isVxlan ? problemOf(root, family) : undefined)),
  };
}

/** Parses the IPv6 fields; invalid fields count as missing, because the IPv4 lease is valid without them. */
function parseIpv6Fields(
  root: JsonObject,
  isVxlan: boolean,
): { publicIp?: Ip | undefined; mac?: string | undefined } {
  try {
    return {
      publicIp: nodeAddress(root, 'ipv6'),
      mac: isVxlan ? root.object('BackendV6Data')?.string('VtepMAC') : undefined,
    };
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    return {};
  }
}

/** Returns which of a family's fields is missing or invalid, and its value; undefined if all are valid. */
function problemOf(root: JsonObject, family: Family): string | undefined {
  const { address, data } = FIELDS[family];
  const ip = root.get(address);
  if (ip === undefined) return `${address} is missing`;
  if (typeof ip !== 'string' || nodeAddress(root, family) === undefined)
    return `${address} ${show(ip)} is not the address of a node`;
  const object = root.get(data);
  if (object === undefined) return `${data} is missing`;
  if (typeof object !== 'object' || Array.isArray(object)) return `${data} ${show(object)} is not an object`;
  const mac = root.object(data)?.get('VtepMAC');
  if (mac === undefined) return `${data}.VtepMAC is missing`;
  const isMac = typeof mac === 'string' && parseVtepMac(mac) !== undefined;
  return isMac ? undefined : `${data}.VtepMAC ${show(mac)} is not a unicast MAC address`;
}

function nodeAddress(root: JsonObject, family: Family): Ip | undefined {
  const ip = parseIp(root.string(FIELDS[family].address) ?? '', family);
  return ip !== undefined && isNodeAddress(ip) ? ip : undefined;
}
