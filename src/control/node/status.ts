/** What `weft status` shows, and the part of each family, from its tunnel, dataplane and kernel. */

import type { Direction, PeerActivity } from '../../dataplane/dataplane.js';
import { formatCidr, formatHost } from '../addresses/cidr.js';
import { formatIp, fromUnderlay } from '../addresses/ip.js';
import { formatMac } from '../addresses/mac.js';
import type { PeerStatus } from '../backends/backend.js';
import type { CaptureStatus } from '../capture/session.js';
import { readLinks } from '../kernel/links.js';
import { type KernelSnapshot, readSnapshot } from '../kernel/snapshot.js';
import type { RunOptions } from '../options.js';
import type { PrivilegeStatus } from '../privileges.js';
import type { FamilyTunnel } from './family-tunnel.js';
import type { FastPathStatus } from './fast-path.js';
import { addActivity } from './peer-activity.js';

/** `notReady` during the set-up, if there is no other reason. */
export const STARTING = 'starting';

/** Of more peers, the status shows what the last check has found in the kernel. */
const MOST_READ_PEERS = 1000;

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
  leaseSource: {
    name: string;
    refused: string | null;
    trouble: string | null;
    /** Seconds since the leases in force arrived. */
    ageSeconds: number;
  };
  workers: number;
  privileges: PrivilegeStatus;
  /** The `weft capture` that runs; null without one. */
  capture: CaptureStatus | null;
  /** What Weft does not own and keeps packets from passing, each with a remedy. */
  obstacles: string[];
  /** The IPv6 tunnel of a dual-stack cluster; the IPv4 one is above. Absent in a cluster with one family. */
  ipv6?: FamilyStatus;
}

/** The state of a peer, in texts. */
export type ShownState = NonNullable<PeerStatus['state']> | 'direct';

/** The peers that a brief answer leaves out. */
export interface OmittedPeers {
  number: number;
  withProblems: number;
  states: Partial<Record<ShownState, number>>;
}

/** The status of one family. */
export interface FamilyStatus {
  device: { name: string; mac?: string; mtu: number; address: string; up: boolean };
  /** `address` is that of the sockets. `absent`: why the underlay carries no packet; null while it is present. */
  underlay: { interface: string; address: string; publicIP: string; mtu: number; absent: string | null };
  lease: { subnet: string; publicIP: string; vtepMAC?: string };
  /** `rung` is the offload level; `fastPath` states why it is not `bpf`; one direction may use a lower one for a reason. */
  offload: {
    rung: string;
    uso: boolean;
    fastPath: FastPathStatus;
    /** Why the level is not the next higher one; null at the highest. */
    nextReason: string | null;
  } & Record<Direction, { level: string; reason: string | null }>;
  peerCheck: string;
  peers: PeerStatus[];
  /** Only in a brief answer, which is no part of `--json`. */
  omitted?: OmittedPeers;
  /** Repaired objects by kind, since the start. */
  repairs: Record<string, number>;
  learned: { mac: string; publicIP: string; ageSeconds: number }[] | null;
  counters: Record<string, number>;
}

/** Returns why the level is `none`. */
function noGso(choice: RunOptions['offload']): string {
  if (choice === 'none') return 'switched off by --offload none';
  return 'level gso needs UDP_SEGMENT and UDP_GRO (Linux 5.0) and a tun device with TSO';
}

function offloadOf(
  { dataplane, fastPath, level }: FamilyTunnel,
  choice: RunOptions['offload'],
): FamilyStatus['offload'] {
  const { offload, levels } = dataplane;
  const { transmit, receive } = levels;
  const { status } = fastPath;
  return {
    rung: level,
    uso: offload.uso,
    fastPath: status,
    nextReason: status.on ? null : offload.level === 'gso' ? status.reason : noGso(choice),
    transmit: { level: transmit.level, reason: transmit.reason ?? null },
    receive: { level: receive.level, reason: receive.reason ?? null },
  };
}

/** Returns the state of each peer, with its packets. */
async function peersOf(
  { peers, dataplane }: FamilyTunnel,
  snapshot: KernelSnapshot | undefined,
  activity: readonly PeerActivity[] | undefined,
): Promise<PeerStatus[]> {
  const { leases } = peers;
  const states = await peers.reconciler.status(leases, snapshot);
  if (activity === undefined) return states;
  const packets = new Map(activity.map((peer) => [fromUnderlay(peer.address), peer]));
  const fast = new Set([...(dataplane.fastPath?.addresses ?? [])].map((address) => fromUnderlay(address)));
  const clock = { now: performance.now(), date: Date.now() };
  states.forEach((state, index) => {
    // The reconciler keeps the order of the leases.
    const address = leases[index]?.publicIp ?? 0;
    addActivity(state, packets.get(address), fast.has(address), clock);
  });
  return states;
}

/** Reads the present state of one family from its tunnel and the kernel. */
export async function collectFamily(
  tunnel: FamilyTunnel,
  choice: RunOptions['offload'],
): Promise<FamilyStatus> {
  const { plan, own, dataplane } = tunnel;
  const { backend, mtu, link: underlay } = plan;
  const publicIP = formatIp(own.publicIp);
  // Reading thousands of entries takes long, and seconds beside the `ip` that adds them. The checks read them anyway.
  const isQuick = !tunnel.peers.isApplying && tunnel.peers.leases.length <= MOST_READ_PEERS;
  const snapshot = isQuick ? await readSnapshot(plan.family) : undefined;
  const [links, learned] = await Promise.all([
    snapshot?.links ?? readLinks(),
    backend.learning ? dataplane.learned().catch(() => []) : null,
  ]);
  const link = links.find(({ name }) => name === backend.device);
  const figures = await tunnel.figures();
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
      address: formatIp(tunnel.address.bound),
      publicIP,
      mtu: underlay.mtu,
      absent: tunnel.underlayAbsent,
    },
    lease: {
      subnet: formatCidr(own.subnet),
      publicIP,
      ...(own.vtepMac !== undefined && { vtepMAC: own.vtepMac }),
    },
    offload: offloadOf(tunnel, choice),
    peerCheck: plan.peerCheck,
    peers: await peersOf(tunnel, snapshot, figures.peers),
    repairs: tunnel.repairs,
    learned:
      learned?.map(({ mac, address, ageMs }) => ({
        mac: formatMac(mac),
        publicIP: formatIp(address >>> 0),
        ageSeconds: Math.round(ageMs / 1000),
      })) ?? null,
    counters: figures.counters,
  };
}
