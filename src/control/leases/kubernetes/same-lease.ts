/** Whether two leases, or sets of them, say the same. */

import type { Lease, LeaseSet } from '../lease.js';

export function sameSet(a: LeaseSet, b: LeaseSet): boolean {
  return (
    sameLease(a.own, b.own) &&
    a.peers.length === b.peers.length &&
    a.peers.every((peer, index) => sameLease(peer, b.peers[index] as Lease))
  );
}

export function sameLease(a: Lease, b: Lease): boolean {
  return (
    a === b ||
    (a.subnet.base === b.subnet.base &&
      a.subnet.prefix === b.subnet.prefix &&
      a.publicIp === b.publicIp &&
      a.vtepMac === b.vtepMac)
  );
}
