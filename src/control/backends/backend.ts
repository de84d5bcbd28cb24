/**
 * What differs between flannel's vxlan and udp backends: the device, the tunnel of the dataplane, and how a peer becomes
 * reachable. `Backend` describes a backend before anything changes; `PeerReconciler` then runs on a dataplane.
 */

import type { Dataplane, PeerCheck, TunnelOptions } from '../../dataplane/dataplane.js';
import type { Cidr } from '../addresses/cidr.js';
import type { BackendConf } from '../config/net-conf.js';
import type { Journal } from '../journal.js';
import type { Repairs } from '../kernel/repairs.js';
import type { KernelSnapshot } from '../kernel/snapshot.js';
import type { Sysctl } from '../kernel/sysctls.js';
import type { Lease } from '../leases/lease.js';

export interface Backend {
  readonly conf: BackendConf;
  /** Name of the overlay device. */
  readonly device: string;
  /** Names of the overlay devices of both families. */
  readonly devices: readonly string[];
  /** Names of the devices that carry the same network with another backend. */
  readonly rivals: RegExp;
  /** Tunnel overhead: bytes by which the device's MTU is below the underlay's. */
  readonly overhead: number;
  /** flannel's log line about the settings. */
  readonly summary: string;
  /** Whether the dataplane learns forwarding entries. */
  readonly learning: boolean;
  /** The default of --peer-check. */
  readonly peerCheck: PeerCheck;
  /** The device's sysctls. */
  readonly sysctls: readonly Sysctl[];
  /** Whether any change of routes or rules may change how a peer is reached (DirectRouting). */
  readonly followsRouting: boolean;
  /** The options of the dataplane's tunnel. */
  tunnel(own: Lease, peerCheck: PeerCheck): TunnelOptions;
  /** Sets this node's own MAC or address in the dataplane. */
  setOwnLease(dataplane: Dataplane, own: Lease): Promise<void>;
  /** Reconciles peers on a dataplane whose threads run. */
  peers(dataplane: Dataplane, options: PeerOptions): PeerReconciler;
}

export interface PeerOptions {
  device: string;
  /** The pod network of the cluster, of the family that the device carries. */
  network: Cidr;
  /** Kills a running `ip` when Weft stops. */
  signal: AbortSignal;
  /** Records routes outside the device before they exist. */
  journal: Journal;
}

/** Keeps kernel and dataplane in step with the peers' leases. */
export interface PeerReconciler {
  /** Removes routes that an earlier flanneld or Weft left behind. Call it once, at the start. */
  removeStale(own: Lease, peers: readonly Lease[]): Promise<void>;
  /** Sets the peers in the dataplane alone: the kernel has the entries of an earlier run. Call it before `adopt`. */
  serve(peers: readonly Lease[]): Promise<void>;
  /** Takes over what an earlier run left in the kernel; the next `apply` removes and adds only what differs. */
  adopt(peers: readonly Lease[], snapshot: KernelSnapshot): Promise<void>;
  /** Applies the difference to these peers and returns the number of failed changes. Another call retries them. */
  apply(peers: readonly Lease[]): Promise<number>;
  /** Compares with the kernel's state and repairs the differences. @throws UserError if `ip` cannot be run */
  repair(peers: readonly Lease[], snapshot: KernelSnapshot): Promise<RepairResult>;
  /** Returns true if one of the reconciler's kernel routes has this destination (in the form of `ip route`). */
  ownsRoute(destination: string): boolean;
  /** Notes that the kernel dropped all neighbours of the device. */
  forgetNeighbours(): void;
  /**
   * Compares each peer with kernel and dataplane. Without a snapshot, while changes run, what they have set so far counts
   * as the state of the kernel.
   */
  status(peers: readonly Lease[], snapshot: KernelSnapshot | undefined): Promise<PeerStatus[]>;
}

/** What a check repaired, and how many changes failed. */
export interface RepairResult {
  repairs: Repairs;
  failed: number;
}

/** A peer, and whether each of its objects is as desired. A key of `weft status --json`. */
export interface PeerStatus {
  subnet: string;
  publicIP: string;
  /** The next three exist with vxlan only. */
  vtepMAC?: string;
  neighbour?: boolean;
  fdb?: boolean;
  route: boolean;
  /** The kernel reaches the peer without the tunnel (DirectRouting). */
  direct?: true;
  /** Packets to and from the peer's public IP through the tunnel; absent while the dataplane is rebuilt. */
  txPackets?: number;
  rxPackets?: number;
  txBytes?: number;
  rxBytes?: number;
  /** `unused`: no packet in either direction. docs/status.md defines them. */
  state?: 'reachable' | 'silent' | 'neverHeard' | 'unused';
  /** Only with state `silent`: when the peer was heard last (ISO 8601). */
  silentSince?: string;
  /** Seconds since the last packet from the peer, and to it; null before the first one. */
  heardAgeSeconds?: number | null;
  sentAgeSeconds?: number | null;
  /** The counter of the last packet of this peer that was dropped. */
  lastDrop?: { reason: string; ageSeconds: number } | null;
  /** What carries its packets. */
  path?: 'bpf' | 'userspace' | 'direct';
}
