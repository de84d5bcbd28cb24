/**
 * A tunnel stands between the overlay port and the underlay port: it knows headers and peers, but no device.
 *
 * `encapsulate` and `decapsulate` work on a batch in place. They drop and count packets that must not pass, and close
 * the gaps in order. A message to the source of a dropped packet is appended to `replies`, which has slots of its own.
 * The replies return to the port that the batch came from.
 */

import type { Recorder } from '../capture/recorder.js';
import type { PacketBatch } from '../memory/batch.js';
import type { AddressTable } from './address-table.js';
import type { TunnelAnswer, TunnelRequest } from './requests.js';

export interface Tunnel {
  /** Records the packets that the tunnel drops while a capture runs. */
  recorder: Recorder;
  /** The peers, with their counts and times. */
  readonly peers: AddressTable;
  /** Writes each packet's tunnel header into its headroom, and sets the address of its peer. */
  encapsulate(batch: PacketBatch, replies: PacketBatch): void;
  /** Checks and removes the tunnel header; `batch.address` is the address each packet came from. */
  decapsulate(batch: PacketBatch, replies: PacketBatch): void;
  /** Applies a request of control between two bursts. Returns undefined for a request of another tunnel type. */
  handle(request: TunnelRequest): TunnelAnswer | undefined;
}
