/**
 * Detection of two nodes with one public IP, as Vagrant's machines with 10.0.2.15.
 *
 * The second node finds the first node's key and reuses it, as if from its own earlier run: it cannot tell the difference.
 * The first node sees this claim: a put with a lease that etcd did not grant to it. It replies by putting the key again
 * unchanged. The second node sees the reply: a put with its own lease that it did not make. A reply reuses the claim's
 * lease, so no reply follows a reply.
 */

import { formatCidr } from '../../addresses/cidr.js';
import { formatIp } from '../../addresses/ip.js';
import { warn } from '../../support/log.js';
import type { OwnKey } from './acquire.js';
import type { KeyValue } from './protocol.js';
import type { Registry } from './registry.js';

/**
 * Returns how a put of this node's key shows another node with the same public IP; undefined for an own put, also one
 * whose reply was lost, and for an operator's change.
 */
export function duplicatePublicIp(
  own: OwnKey,
  { modRevision, lease, value }: KeyValue,
  registry: Pick<Registry, 'hasGranted'>,
): 'claim' | 'reply' | undefined {
  // An older revision is not a put, but the content of an etcd restored from a backup.
  if (!modRevision.greaterThan(own.revision)) return undefined;
  // An operator makes reservations, which have no lease.
  const isForeign = !lease.isZero() && !registry.hasGranted(lease);
  if (!lease.equals(own.lease)) return isForeign ? 'claim' : undefined;
  // An operator changes the value; a reply leaves it as it is.
  return !isForeign && value.toString() === own.value ? 'reply' : undefined;
}

export function warnOfDuplicatePublicIp({ name, lease, leases: { ipv4 } }: OwnKey): void {
  const publicIp = formatIp(ipv4.publicIp);
  const remedy =
    'pods of one of the two get no packets; give each node its own with --iface or --public-ip, and restart Weft';
  if (lease.isZero()) {
    warn(
      `the reservation ${name} was put again, by an operator or by another node with the public IP ${publicIp}; with two nodes ${remedy}`,
    );
    return;
  }
  warn(
    `another node has the public IP ${publicIp} too, and so the same key in etcd and the same subnet ${formatCidr(ipv4.subnet)}: ${remedy}`,
  );
}
