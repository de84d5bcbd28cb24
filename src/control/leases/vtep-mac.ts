/**
 * The VTEP MAC of a lease that gives none: a hash of VNI and public IP, the same on every node, so that Subnet and
 * PublicIP are enough for a cluster of Weft nodes. Documented in docs/lease-file.md; changing it would part a cluster.
 */

import { createHash } from 'node:crypto';
import { formatIp, type Ip } from '../addresses/address.js';
import type { BackendConf } from '../config/net-conf.js';

/**
 * The first six bytes of SHA-256 over the text `weft vtep <vni> <public IP>`, made a locally administered unicast
 * address (IEEE 802: bit 1 of the first byte set, bit 0 clear).
 */
export function deriveVtepMac(vni: number, publicIp: string): string {
  const mac = createHash('sha256').update(`weft vtep ${vni} ${publicIp}`).digest().subarray(0, 6);
  mac[0] = ((mac[0] as number) & 0xfc) | 0x02;
  return (mac.toString('hex').match(/../g) as string[]).join(':');
}

/**
 * The MAC of this node's own VTEP; undefined with a backend that has none: the one that the source has `stored`, so that a
 * restart changes nothing for the peers; else the one the device has had; else that of its public address.
 */
export function ownVtepMac(
  backend: BackendConf,
  stored: () => string | undefined,
  had: string | undefined,
  publicIp: Ip,
): string | undefined {
  if (backend.type !== 'vxlan') return undefined;
  return stored() ?? had ?? deriveVtepMac(backend.vni, formatIp(publicIp));
}
