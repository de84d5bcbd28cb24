/** Options of a dataplane, and what it reports while it runs. */

import type { UnderlayAddress } from '../sys/sockaddr.js';
import type { AttachOptions } from './fast-path/hook.js';
import type { Handover } from './handover.js';
import type { DeviceOrigin } from './io/device.js';
import type { GsoRuns } from './offload/gso-runs.js';
import type { Direction, OffloadLevel } from './offload/level.js';
import type { TunnelOptions } from './tunnel/options.js';
import type { FdbEntry, Prefix, Route } from './tunnel/requests.js';
import type { SpareWorker } from './worker/spare-worker.js';

export interface DataplaneOptions {
  /** Name of the device: a TAP for vxlan, e.g. flannel.1; a TUN for udp, e.g. flannel0. */
  device: string;
  /** Whether the device is new, outlived its process, or comes with its sockets from a running process. */
  origin: DeviceOrigin | Handover;
  /** The underlay address to bind. Every peer's address is of its family. IPv6 carries vxlan without learning only. */
  address: UnderlayAddress;
  /** UDP port of this node and of every peer. */
  port: number;
  workers: number;
  /** `auto`: the highest level that this kernel supports. */
  offload: OffloadLevel | 'auto';
  /** Whether GSO runs are sent. `auto`: unless this kernel damages them. */
  gsoRuns: GsoRuns;
  /** Microseconds a worker keeps polling under dense traffic before it blocks; 0 blocks at once. */
  busyPoll: number;
  /** MTU of the pods behind the device, in bytes: the segment size of superpackets that arrive without one. */
  podMtu: number;
  tunnel: TunnelOptions;
  /** Whether BPF programs may forward in front of the threads; control turns them on. */
  fastPath?: AttachOptions | undefined;
  /** A worker for the first thread; without one the dataplane starts all of them. */
  spare?: SpareWorker | undefined;
}

export interface RouteChanges {
  remove: readonly Prefix[];
  set: readonly Route[];
}

export interface FdbChanges {
  remove: readonly { high: number; low: number }[];
  set: readonly FdbEntry[];
}

export interface DataplaneEvents {
  /** Called with a PortFailure or a ThreadFailure when the dataplane cannot continue; it must then be stopped. */
  onFailure: (error: Error) => void;
  /** Called with a line for the log when a thread was replaced, or does not end. */
  onThreadTrouble: (message: string) => void;
  /**
   * Called once per direction that uses a lower level than the dataplane: at the start or when the kernel refuses its
   * superpackets. Packets travel alone from then on.
   */
  onOffloadFallback: (direction: Direction, reason: string) => void;
}
