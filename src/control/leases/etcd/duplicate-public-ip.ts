/**
 * Two nodes with one public IP, as Vagrant's machines have 10.0.2.15. The second finds the first one's key and takes it for
 * its own of an earlier run, which looks the same. The first sees a claim: a put on a lease of etcd's that was not granted
 * to it. It tells the second, which sees nothing wrong, by putting the key back as found: that is a put on the second's
 * lease which the second has not made. Such an answer comes with no lease of its own, so nobody answers it in turn.
 */

import type { OwnKey } from './acquire.js';
import type { KeyValue } from './protocol.js';
import type { Registry } from './registry.js';

/**
 * Whether a put of this node's key was made by another node with its public IP: a claim, which is to be answered, or
 * something that is not. Undefined of an own put, also of one whose answer was lost, and of an operator's.
 */
export function signOf(
  own: OwnKey,
  { modRevision, lease, value }: KeyValue,
  registry: Pick<Registry, 'hasGranted'>,
): 'claim' | 'answer' | undefined {
  // Not a put, but what an etcd has that was set up anew from a backup.
  if (!modRevision.greaterThan(own.revision)) return undefined;
  const isSame = value.toString() === own.value;
  if (!lease.equals(own.lease)) return lease.isZero() || registry.hasGranted(lease) ? undefined : 'claim';
  // An operator may put a reservation anew, or change what hangs on a lease, but not to what it is.
  const isMine = lease.isZero() || registry.hasGranted(lease);
  return isMine && isSame ? 'answer' : undefined;
}
