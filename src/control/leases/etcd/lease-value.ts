/** What flannel keeps under a subnet's key: the fields of LeaseAttrs (pkg/lease/lease.go) as JSON, in its order. */

import { formatIp, type Ip, isNodeAddress, parseIp } from '../../addresses/ip.js';
import { JsonFile, type JsonObject } from '../../support/json-file.js';
import { UserError } from '../../support/user-error.js';

export interface LeaseValue {
  publicIp: Ip;
  publicIpv6: Ip | undefined;
  /** Empty with backend udp, which publishes its address alone. */
  backendType: string;
  /** What the backend published; undefined without. */
  backendData: VxlanData | undefined;
  backendV6Data: VxlanData | undefined;
}

export interface VxlanData {
  VNI: number;
  VtepMAC: string;
}

/** To the byte what flannel writes: a missing IPv6 address is null, what is empty is left out. */
export function formatLeaseValue(value: LeaseValue): string {
  const { publicIp, publicIpv6, backendType, backendData, backendV6Data } = value;
  return JSON.stringify({
    PublicIP: formatIp(publicIp),
    PublicIPv6: publicIpv6 === undefined ? null : formatIp(publicIpv6),
    BackendType: backendType === '' ? undefined : backendType,
    BackendData: orderly(backendData),
    BackendV6Data: orderly(backendV6Data),
  });
}

function orderly(data: VxlanData | undefined): VxlanData | undefined {
  return data && { VNI: data.VNI, VtepMAC: data.VtepMAC };
}

/** A value as it is read: what another node or a person wrote, of any backend. */
export interface ReadValue {
  publicIp: Ip;
  /** undefined: none, or none that a node can have. */
  publicIpv6: Ip | undefined;
  backendType: string;
  /** BackendData.VtepMAC and BackendV6Data.VtepMAC as they stand there. */
  vtepMac: string | undefined;
  vtepMac6: string | undefined;
}

/**
 * Takes a value by what Weft needs of it; unknown keys are ignored, and of BackendData only VtepMAC is looked at.
 * @param key the whole key, for messages
 * @throws UserError naming the key, the value and what is wrong
 */
export function parseLeaseValue(key: string, text: string): ReadValue {
  const { root } = JsonFile.parse('--etcd-prefix', key, text);
  const address = root.string('PublicIP');
  const publicIp = address === undefined ? undefined : parseIp(address, 'ipv4');
  if (publicIp === undefined || !isNodeAddress(publicIp)) {
    throw root.error('PublicIP', 'no IPv4 address that a node can have');
  }
  const backendType = root.string('BackendType') ?? '';
  // What another backend's data looks like is its own affair.
  const ours = backendType === 'vxlan';
  const vtepMac = ours ? root.object('BackendData')?.string('VtepMAC') : undefined;
  return { publicIp, ...readIpv6Half(root, ours), backendType, vtepMac };
}

/** What is no good here is not there: it costs the IPv6 half only. */
function readIpv6Half(root: JsonObject, ours: boolean): Pick<ReadValue, 'publicIpv6' | 'vtepMac6'> {
  try {
    const address = parseIp(root.string('PublicIPv6') ?? '', 'ipv6');
    const publicIpv6 = address !== undefined && isNodeAddress(address) ? address : undefined;
    return { publicIpv6, vtepMac6: ours ? root.object('BackendV6Data')?.string('VtepMAC') : undefined };
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    return { publicIpv6: undefined, vtepMac6: undefined };
  }
}
