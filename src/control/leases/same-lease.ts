/** Equality of leases and of lease sets. */

import { FAMILIES } from '../addresses/family.js';
import type { Lease, LeaseSet, LeaseSets, NodeLeases } from './lease.js';

export function sameSets(a: LeaseSets, b: LeaseSets): boolean {
  return FAMILIES.every((family) => sameSet(a[family], b[family]));
}

export function sameLeases(a: NodeLeases, b: NodeLeases): boolean {
  return FAMILIES.every((family) => sameLease(a[family], b[family]));
}

function sameSet(a: LeaseSet | undefined, b: LeaseSet | undefined): boolean {
  if (a === undefined || b === undefined) return a === b;
  return (
    sameLease(a.own, b.own) &&
    a.peers.length === b.peers.length &&
    a.peers.every((peer, index) => sameLease(peer, b.peers[index]))
  );
}

function sameLease(a: Lease | undefined, b: Lease | undefined): boolean {
  if (a === b || a === undefined || b === undefined) return a === b;
  return (
    a.subnet.base === b.subnet.base &&
    a.subnet.prefixLength === b.subnet.prefixLength &&
    a.publicIp === b.publicIp &&
    a.vtepMac === b.vtepMac
  );
}
