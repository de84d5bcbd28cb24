/**
 * A backend of flannel's: the device it has, what its tunnel is told, what a peer costs. All else of a node is the same
 * for every backend. `Backend` is what is known before anything is touched, `Overlay` what then runs on a dataplane.
 */

import type { Dataplane } from '../../dataplane/dataplane.js';
import type { TunnelOptions } from '../../dataplane/tunnel/tunnel.js';
import type { PeerCheck } from '../../dataplane/tunnel/vxlan.js';
import type { Cidr } from '../addresses/cidr.js';
import type { BackendConf } from '../config/net-conf.js';
import type { Repairs } from '../kernel/device.js';
import type { Change } from '../kernel/monitor.js';
import type { Lease } from '../leases/lease.js';

export interface Backend {
  readonly conf: BackendConf;
  /** Name of the overlay device. */
  readonly device: string;
  /** Names of the devices with which another backend would carry the same network. */
  readonly rivals: RegExp;
  /** Bytes by which the device's MTU is less than the underlay's. */
  readonly overhead: number;
  /** flannel's log line of the settings. */
  readonly summary: string;
  /** Whether forwarding entries are learned. */
  readonly learning: boolean;
  /** Who may send where the command line does not say. */
  readonly peerCheck: PeerCheck;
  /** What the dataplane's tunnel is told at the start. */
  tunnel(own: Lease, peerCheck: PeerCheck): TunnelOptions;
  /** Runs it on a dataplane whose device has been made. */
  overlay(dataplane: Dataplane, options: OverlayOptions): Overlay;
}

export interface OverlayOptions {
  device: string;
  /** MTU of the device, in bytes. */
  mtu: number;
  /** The pod network of the cluster, of the family that is carried. */
  network: Cidr;
  /** Aborted when weft leaves: an `ip` at work is killed. */
  signal: AbortSignal;
  /** Notes the loose routes where the next start finds them, before they are set. */
  save(): Promise<void>;
}

export interface Overlay {
  /** Removes what an earlier flanneld or weft has left that is in the way. */
  clear(own: Lease, peers: readonly Lease[]): Promise<void>;
  /** Sets up the fresh device; the dataplane has been started. @throws DeviceGone, UserError naming the command that failed */
  configure(own: Lease): Promise<void>;
  /** Follows a change of this node's own lease. @throws DeviceGone, UserError naming the command that failed */
  reconfigure(before: Lease, after: Lease): Promise<void>;
  /** Brings the system to what these peers ask for and returns how many changes failed; again, it tries those again. */
  apply(peers: readonly Lease[]): Promise<number>;
  /** True when a change may be of something that was set up here. */
  concerns(change: Change): boolean;
  /** True when something is not as it should be that changes without a word from `ip monitor`. */
  readonly deviates: boolean;
  /**
   * Compares everything that was set up with what the system has, and puts right what is not; `apply` tries again what
   * failed. @throws DeviceGone, UserError when the system cannot be read
   */
  repair(own: Lease, peers: readonly Lease[]): Promise<Repaired>;
  /** Routes beside the device, which do not go with it, as `ip route` takes them: those there are, and those to come. */
  looseRoutes(): string[];
  /** Each peer against what kernel and dataplane have, read afresh. */
  status(peers: readonly Lease[]): Promise<PeerStatus[]>;
}

/** What a look has put right, and how many changes failed. */
export interface Repaired {
  repairs: Repairs;
  failed: number;
}

/** A peer, and whether the system has each of its objects as it should be, now. */
export interface PeerStatus {
  subnet: string;
  publicIP: string;
  /** The next three: vxlan alone. */
  vtepMAC?: string;
  neighbour?: boolean;
  fdb?: boolean;
  route: boolean;
  /** Reached without the tunnel (DirectRouting). */
  direct?: true;
}
