/**
 * The VTEP MAC of a lease without one.
 *
 * In a lease file it is a hash of VNI and public IP. Every node derives the same MAC, so Subnet and PublicIP are enough for
 * a cluster of Weft nodes. docs/lease-file.md documents the hash; a change would split running clusters.
 *
 * In Kubernetes and etcd it is random, as with flannel. An address passes from a dead machine to another one; a MAC derived
 * from it would belong to both records, and the removal of one would cut off the other.
 */

import { createHash, randomBytes } from 'node:crypto';
import { formatMac } from '../addresses/mac.js';

/**
 * Derives a MAC: the first six bytes of SHA-256 over the text `weft vtep <vni> <public IP>`. The MAC is a locally
 * administered unicast address (IEEE 802: bit 1 of the first byte is set, bit 0 is clear).
 */
export function deriveVtepMac(vni: number, publicIp: string): string {
  return localMac(createHash('sha256').update(`weft vtep ${vni} ${publicIp}`).digest().subarray(0, 6));
}

/** Returns a locally administered unicast address of these six bytes. */
function localMac(mac: Buffer): string {
  mac.writeUInt8((mac.readUInt8() & 0xfc) | 0x02);
  return formatMac(mac.readUIntBE(0, 6));
}

/** Where the MAC of this node's own VTEP may come from. */
export interface MacOrigins {
  /** The MAC in this node's own record at the source. */
  published: string | undefined;
  /** The MAC of the adopted device. */
  adopted: string | undefined;
  /** The MAC in the run directory. */
  stored: string | undefined;
  /** Returns whether the record of another node has the MAC. */
  isTaken(mac: string): boolean;
}

/**
 * Returns the MAC of this node's own VTEP. The published MAC comes first, so that a restart changes nothing for the peers;
 * then that of the adopted device, then the stored one. Unless it is published, a MAC of another record is not used: two
 * records with one MAC cannot be removed independently.
 */
export function ownVtepMac({ published, adopted, stored, isTaken }: MacOrigins): string {
  if (published !== undefined) return published;
  const known = [adopted, stored].find((mac) => mac !== undefined && !isTaken(mac));
  if (known !== undefined) return known;
  for (;;) {
    const mac = localMac(randomBytes(6));
    if (!isTaken(mac)) return mac;
  }
}
