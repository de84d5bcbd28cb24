/** flannel's log lines about added and removed peers. */

import { type Cidr, formatCidr } from '../addresses/cidr.js';
import { familyOf, formatIp, type Ip } from '../addresses/ip.js';
import type { Lease } from '../leases/lease.js';
import { info } from '../support/log.js';

/** More changes than this are logged as one line. */
const LOGGED_PEERS = 16;

/**
 * Logs what changes from one set of peers to the next. Returns the next set, in which a lease that does not change is the
 * same object as before; the set before if nothing changes.
 */
export function followPeers(before: readonly Lease[], after: readonly Lease[]): readonly Lease[] {
  // The subnets of a set do not overlap, so that the base alone identifies a lease. Texts of thousands would cost more.
  const known = new Map<Ip, Lease>();
  for (const lease of before) known.set(lease.subnet.base, lease);
  const set: Lease[] = [];
  const next = after.map((lease) => {
    const old = known.get(lease.subnet.base);
    if (old?.subnet.prefixLength === lease.subnet.prefixLength) known.delete(lease.subnet.base);
    if (old !== undefined && isSame(old, lease)) return old;
    set.push(lease);
    return lease;
  });
  if (known.size + set.length > LOGGED_PEERS) {
    info(`peers: ${set.length} added or changed, ${known.size} removed, ${after.length} in all`);
  } else {
    for (const { subnet } of known.values()) info(`removing ${subnetKind(subnet)}: ${formatCidr(subnet)}`);
    for (const lease of set) info(`adding ${subnetKind(lease.subnet)}: ${describe(lease)}`);
  }
  return known.size + set.length === 0 && before.length === after.length ? before : next;
}

function isSame(a: Lease, b: Lease): boolean {
  return (
    a.subnet.base === b.subnet.base &&
    a.subnet.prefixLength === b.subnet.prefixLength &&
    a.publicIp === b.publicIp &&
    a.vtepMac === b.vtepMac
  );
}

/** Returns ` VtepMAC: …`, or an empty text for a lease without MAC. */
export function macText({ vtepMac }: Lease): string {
  return vtepMac === undefined ? '' : ` VtepMAC: ${vtepMac}`;
}

function describe(lease: Lease): string {
  const key = familyOf(lease.publicIp) === 'ipv4' ? 'PublicIP' : 'PublicIPv6';
  return `${formatCidr(lease.subnet)} ${key}: ${formatIp(lease.publicIp)}${macText(lease)}`;
}

function subnetKind({ base }: Cidr): string {
  return familyOf(base) === 'ipv6' ? 'v6 subnet' : 'subnet';
}
