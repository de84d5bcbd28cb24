/** The two files that a node reads, net-conf.json and the lease file, with flannel's field names. */

import { randomBytes } from 'node:crypto';
import { rename, writeFile } from 'node:fs/promises';

/** A lease as flannel writes it. */
export interface Lease {
  readonly Subnet: string;
  readonly PublicIP: string;
  readonly BackendType?: string;
  readonly BackendData?: { readonly VNI?: number; readonly VtepMAC?: string };
  readonly IPv6Subnet?: string;
  readonly PublicIPv6?: string;
  readonly BackendV6Data?: { readonly VNI?: number; readonly VtepMAC?: string };
}

/** A lease with everything that a vxlan peer needs. */
export interface VxlanLease extends Lease {
  readonly BackendType: 'vxlan';
  readonly BackendData: { readonly VNI: number; readonly VtepMAC: string };
}

/** The content of net-conf.json; absent fields take flannel's defaults. */
export interface NetConf {
  readonly Network: string;
  readonly EnableIPv4?: boolean;
  readonly EnableIPv6?: boolean;
  readonly IPv6Network?: string;
  readonly SubnetLen?: number;
  readonly Backend: {
    readonly Type: string;
    readonly VNI?: number;
    readonly Port?: number;
    readonly MTU?: number;
    readonly Learning?: boolean;
    readonly DirectRouting?: boolean;
  };
}

/** The pod network of the lab's cluster. */
export const NETWORK = '10.244.0.0/16';

/** Returns the lab's net-conf.json, with changes. */
export function netConf(backend: Partial<NetConf['Backend']> = {}): NetConf {
  return { Network: NETWORK, SubnetLen: 24, Backend: { Type: 'vxlan', VNI: 1, Port: 8472, ...backend } };
}

/** Returns the lab's net-conf.json for backend udp, with changes. */
export function udpConf(backend: Partial<NetConf['Backend']> = {}): NetConf {
  return { Network: NETWORK, SubnetLen: 24, Backend: { Type: 'udp', Port: 8285, ...backend } };
}

/** Replaces a file in one step, so that a reader sees either the old or the new text. */
export async function writeAtomically(path: string, text: string): Promise<void> {
  const fresh = `${path}.${randomBytes(4).toString('hex')}`;
  await writeFile(fresh, text);
  await rename(fresh, path);
}

/** Writes a lease file atomically. */
export async function writeLeases(path: string, leases: readonly Lease[]): Promise<void> {
  // One lease per line is readable in a failure report, and fast to write for ten thousand leases.
  const lines = leases.map((lease) => `  ${JSON.stringify(lease)}`);
  await writeAtomically(path, `{ "leases": [\n${lines.join(',\n')}\n] }\n`);
}

/** Writes net-conf.json atomically. */
export async function writeNetConf(path: string, conf: NetConf = netConf()): Promise<void> {
  await writeAtomically(path, `${JSON.stringify(conf, null, 2)}\n`);
}

/**
 * Returns a peer that exists only as a lease, for scale. It has one of 16 384 subnets from 10.0.0.0/24 on, so Network
 * in net-conf must be 10.0.0.0/8. Its address is in 172.16.0.0/12, to which no interface of the lab has a route.
 * `generation` changes its MAC and address only.
 */
export function madeUpLease(index: number, generation = 0): VxlanLease {
  const host = index + 1 + (generation % 63) * 16_384;
  const hex = (value: number) => (value & 0xff).toString(16).padStart(2, '0');
  return {
    Subnet: `10.${index >> 8}.${index & 0xff}.0/24`,
    PublicIP: `172.${16 + ((host >> 16) & 0x0f)}.${(host >> 8) & 0xff}.${host & 0xff}`,
    BackendType: 'vxlan',
    BackendData: {
      VNI: 1,
      VtepMAC: `06:${hex(generation >> 8)}:${hex(generation)}:${hex(index >> 16)}:${hex(index >> 8)}:${hex(index)}`,
    },
  };
}
