/** The interface of the lab's dataplanes: Weft, kernel vxlan, the naive dataplane, the udp proxy, Open vSwitch. */

import { bridgeBatch, ipBatch } from '../ip.js';
import type { VxlanLease } from '../leases.js';
import type { LabNode, Owned } from '../node.js';

export type DataplaneKind = 'weft' | 'kernel' | 'ovs' | 'naive' | 'proxy';

/** A dataplane that runs on a node and has set up flannel.1 there. */
export interface Dataplane extends Owned {
  readonly kind: DataplaneKind;
  readonly node: LabNode;
  /** Returns the processes that forward; none for the kernel. */
  pids(): number[];
  /** Returns the last lines of its log, 15 by default. */
  tail(lines?: number): string;
  /** Stops it and removes its device, so that the node is as before. May be called twice. */
  stop(): Promise<void>;
}

/** The tunnel device, as flannel names it for VNI 1. */
export const DEVICE = 'flannel.1';

/** Returns `ip` lines that give the tunnel device its address and bring it up. */
export function deviceLines(node: LabNode): string[] {
  return [`address add ${node.subnetBase}/32 dev ${DEVICE}`, `link set ${DEVICE} up`];
}

/** Returns the `ip` line of a peer's permanent neighbour; it replaces an older one. */
export function neighbourLine(lease: VxlanLease): string {
  return `neigh replace ${baseOf(lease)} lladdr ${lease.BackendData.VtepMAC} dev ${DEVICE} nud permanent`;
}

/** Returns the `ip` line of a peer's onlink route. */
export function routeLine(lease: VxlanLease): string {
  return `route replace ${lease.Subnet} via ${baseOf(lease)} dev ${DEVICE} onlink`;
}

/** Returns the `bridge` line of a peer's entry in the kernel's VXLAN FDB. */
export function fdbLine(lease: VxlanLease): string {
  return `fdb replace ${lease.BackendData.VtepMAC} dev ${DEVICE} dst ${lease.PublicIP} self permanent`;
}

/** Programs peers in flannel's order: neighbours, FDB (kernel vxlan only), routes. */
export async function programPeers(
  node: LabNode,
  leases: readonly VxlanLease[],
  { fdb }: { readonly fdb: boolean },
): Promise<void> {
  await ipBatch(node.netns, leases.map(neighbourLine));
  if (fdb) await bridgeBatch(node.netns, leases.map(fdbLine));
  await ipBatch(node.netns, leases.map(routeLine));
}

function baseOf(lease: VxlanLease): string {
  return lease.Subnet.slice(0, lease.Subnet.indexOf('/'));
}
