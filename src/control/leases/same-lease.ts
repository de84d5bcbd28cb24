/** Whether two leases, or sets of them, say the same. */

import type { Ip } from '../addresses/address.js';
import type { Lease, LeaseSet, LeaseSets, NodeLeases } from './lease.js';

export function sameSets(a: LeaseSets, b: LeaseSets): boolean {
  return sameSet(a.ipv4, b.ipv4) && sameSet(a.ipv6, b.ipv6);
}

export function sameLeases(a: NodeLeases, b: NodeLeases): boolean {
  return sameLease(a.ipv4, b.ipv4) && sameLease(a.ipv6, b.ipv6);
}

function sameSet(a: LeaseSet<Ip> | undefined, b: LeaseSet<Ip> | undefined): boolean {
  if (a === undefined || b === undefined) return a === b;
  return (
    sameLease(a.own, b.own) &&
    a.peers.length === b.peers.length &&
    a.peers.every((peer, index) => sameLease(peer, b.peers[index]))
  );
}

function sameLease(a: Lease<Ip> | undefined, b: Lease<Ip> | undefined): boolean {
  if (a === b || a === undefined || b === undefined) return a === b;
  return (
    a.subnet.base === b.subnet.base &&
    a.subnet.prefix === b.subnet.prefix &&
    a.publicIp === b.publicIp &&
    a.vtepMac === b.vtepMac
  );
}
