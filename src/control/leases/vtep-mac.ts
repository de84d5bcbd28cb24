/**
 * The VTEP MAC of a lease without one: a hash of VNI and public IP. Every node derives the same MAC, so Subnet and
 * PublicIP are enough for a cluster of Weft nodes. docs/lease-file.md documents the hash; a change would split running
 * clusters.
 */

import { createHash } from 'node:crypto';
import { formatIp, type Ip } from '../addresses/ip.js';
import { formatMac } from '../addresses/mac.js';
import type { BackendConf } from '../config/net-conf.js';

/**
 * Derives a MAC: the first six bytes of SHA-256 over the text `weft vtep <vni> <public IP>`. The MAC is a locally
 * administered unicast address (IEEE 802: bit 1 of the first byte is set, bit 0 is clear).
 */
export function deriveVtepMac(vni: number, publicIp: string): string {
  const mac = createHash('sha256').update(`weft vtep ${vni} ${publicIp}`).digest().subarray(0, 6);
  mac.writeUInt8((mac.readUInt8() & 0xfc) | 0x02);
  return formatMac(mac.readUIntBE(0, 6));
}

/**
 * Returns the MAC of this node's own VTEP; undefined with a backend without VTEPs. The MAC that the source has `stored`
 * comes first, so that a restart changes nothing for the peers; then that of the adopted device; then the derived MAC.
 */
export function ownVtepMac(
  backend: BackendConf,
  stored: () => string | undefined,
  adopted: string | undefined,
  publicIp: Ip,
): string | undefined {
  if (backend.type !== 'vxlan') return undefined;
  return stored() ?? adopted ?? deriveVtepMac(backend.vni, formatIp(publicIp));
}
