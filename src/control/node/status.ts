/** What `weft status` shows, and the part of each family, from its tunnel, dataplane and kernel. */

import type { Dataplane, Direction } from '../../dataplane/dataplane.js';
import { formatCidr, formatHost } from '../addresses/cidr.js';
import { formatIp } from '../addresses/ip.js';
import { formatMac } from '../addresses/mac.js';
import type { PeerStatus } from '../backends/backend.js';
import { type KernelSnapshot, readSnapshot } from '../kernel/snapshot.js';
import { figuresOf } from '../obstacles/peer-figures.js';
import type { PrivilegeStatus } from '../privileges.js';
import type { FamilyTunnel } from './family-tunnel.js';

/** `notReady` during the set-up, if there is no other reason. */
export const STARTING = 'starting';

/** The answer of `weft status --json` before the devices exist. */
export interface StartingStatus {
  version: string;
  pid: number;
  uptimeSeconds: number;
  /** Why the node is not ready; null once it is. */
  notReady: string | null;
}

/** The answer of `weft status --json`. Its keys are a contract with scripts. */
export interface Status extends StartingStatus, FamilyStatus {
  /** `vni` exists with vxlan only. */
  backend: { type: string; vni?: number; port: number };
  /** `refused`: why the newest leases were rejected; `trouble`: why no new leases can arrive. */
  leaseSource: { name: string; refused: string | null; trouble: string | null };
  workers: number;
  privileges: PrivilegeStatus;
  /** What Weft does not own and keeps packets from passing, each with a remedy. */
  obstacles: string[];
  /** The IPv6 tunnel of a dual-stack cluster; the IPv4 one is above. Absent in a cluster with one family. */
  ipv6?: FamilyStatus;
}

/** The status of one family. */
export interface FamilyStatus {
  device: { name: string; mac?: string; mtu: number; address: string; up: boolean };
  /** `address` is that of the sockets. `absent`: why the underlay carries no packet; null while it is present. */
  underlay: { interface: string; address: string; publicIP: string; mtu: number; absent: string | null };
  lease: { subnet: string; publicIP: string; vtepMAC?: string };
  /** `rung` is the offload level; one direction may use a lower one for a reason. */
  offload: { rung: string; uso: boolean } & Record<Direction, { level: string; reason: string | null }>;
  peerCheck: string;
  peers: PeerStatus[];
  /** Repaired objects by kind, since the start. */
  repairs: Record<string, number>;
  learned: { mac: string; publicIP: string; ageSeconds: number }[] | null;
  counters: Record<string, number>;
}

function offloadOf({ offload, levels }: Dataplane): FamilyStatus['offload'] {
  const { transmit, receive } = levels;
  return {
    rung: offload.level,
    uso: offload.uso,
    transmit: { level: transmit.level, reason: transmit.reason ?? null },
    receive: { level: receive.level, reason: receive.reason ?? null },
  };
}

/** Returns the state of each peer, with its packets. */
async function peersOf(
  { reconciler, peers, dataplane }: FamilyTunnel,
  snapshot: KernelSnapshot,
): Promise<PeerStatus[]> {
  // A dataplane that is being rebuilt has no figures, and a thread may not answer.
  const figures = await figuresOf(dataplane)
    .peers()
    .catch(() => []);
  const packets = new Map(figures.map((peer) => [formatIp(peer.address), peer]));
  return (await reconciler.status(peers, snapshot)).map((peer) => {
    const figure = packets.get(peer.publicIP);
    return figure === undefined
      ? peer
      : { ...peer, txPackets: figure.txPackets, rxPackets: figure.rxPackets };
  });
}

/** Reads the present state of one family from its tunnel and the kernel. */
export async function collectFamily(tunnel: FamilyTunnel): Promise<FamilyStatus> {
  const { plan, own, dataplane } = tunnel;
  const { backend, mtu, link: underlay } = plan;
  const publicIP = formatIp(own.publicIp);
  const [snapshot, learned] = await Promise.all([
    readSnapshot(plan.family),
    backend.learning ? dataplane.learned().catch(() => []) : null,
  ]);
  const link = snapshot.links.find(({ name }) => name === backend.device);
  return {
    device: {
      name: backend.device,
      ...(own.vtepMac !== undefined && { mac: link?.mac ?? own.vtepMac }),
      mtu: link?.mtu ?? mtu,
      address: formatHost(own.subnet.base),
      up: link?.up ?? false,
    },
    underlay: {
      interface: underlay.name,
      address: formatIp(tunnel.bound),
      publicIP,
      mtu: underlay.mtu,
      absent: tunnel.underlayAbsent,
    },
    lease: {
      subnet: formatCidr(own.subnet),
      publicIP,
      ...(own.vtepMac !== undefined && { vtepMAC: own.vtepMac }),
    },
    offload: offloadOf(dataplane),
    peerCheck: plan.peerCheck,
    peers: await peersOf(tunnel, snapshot),
    repairs: tunnel.repairs,
    learned:
      learned?.map(({ mac, address, ageMs }) => ({
        mac: formatMac(mac),
        publicIP: formatIp(address >>> 0),
        ageSeconds: Math.round(ageMs / 1000),
      })) ?? null,
    counters: tunnel.counters(),
  };
}
