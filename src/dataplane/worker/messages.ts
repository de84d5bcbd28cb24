/**
 * The protocol between control and a forwarding worker: everything that crosses the thread boundary except the counters.
 * Control posts a request and rings the doorbell (doorbell.ts). The worker handles requests in order and answers each
 * once, with the request's `id`.
 */

import type { CaptureRequest } from '../capture/layout.js';
import type { Direction, Offload } from '../offload/level.js';
import type { DataplaneOptions } from '../options.js';
import type { TunnelAnswer, TunnelRequest } from '../tunnel/requests.js';
import type { DoorbellHandle } from './doorbell.js';

/** A request to the tunnel, or to the recorder of the thread. */
export type WorkerRequest = TunnelRequest | CaptureRequest;

export type Request = WorkerRequest & { id: number };

export type Reply =
  /** `busyRounds`: empty rounds that take as long as `busyPoll`. */
  | { type: 'started'; busyRounds: number }
  | { type: 'done'; id: number; answer: TunnelAnswer }
  /** The tunnel does not know or cannot apply the request. */
  | { type: 'rejected'; id: number; reason: string }
  /** A direction fell back, because the kernel refuses what it gets with this errno. */
  | { type: 'fallback'; direction: Direction; errno: number }
  | { type: 'failed'; port: 'overlay' | 'underlay'; errno: number };

/** Everything a worker needs; the worker itself opens nothing. */
export interface WorkerOptions extends Pick<DataplaneOptions, 'busyPoll' | 'port' | 'podMtu' | 'tunnel'> {
  /** This worker's queue of the device. */
  deviceFd: number;
  /** The socket it receives on. */
  socketFd: number;
  /** The sockets it sends through. */
  txSocketFds: readonly number[];
  /** Whether these sockets are IPv6 sockets. */
  ipv6: boolean;
  offload: Offload;
  /** As an earlier worker of the queue measured it, before there was traffic. */
  busyRounds: number | undefined;
  /** What was asked of the tunnel and the recorder before this worker began. */
  state: readonly WorkerRequest[];
  doorbell: DoorbellHandle;
  counters: SharedArrayBuffer;
}

/** What a spare worker gets at first; control posts the rest. */
export type SpareOptions = Pick<WorkerOptions, 'doorbell'>;
