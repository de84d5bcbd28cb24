/**
 * A tunnel: what stands between the overlay port and the underlay port. It knows headers and peers, no device.
 *
 * Both methods work on a batch in place, drop (and count) what may not pass and close the gaps, keeping the order. What
 * they have to say to the sender of a dropped packet they append to `replies`, which goes back to the side the batch came
 * from; `replies` has slots of its own.
 */

import type { PacketBatch } from '../memory/batch.js';
import type { UdpTunnelOptions } from './udp.js';
import type { VxlanOptions } from './vxlan.js';

export type TunnelOptions = ({ type: 'vxlan' } & VxlanOptions) | ({ type: 'udp' } & UdpTunnelOptions);

export interface Tunnel {
  /** Gives every packet its tunnel header, in its headroom, and the address of its peer. */
  encapsulate(batch: PacketBatch, replies: PacketBatch): void;
  /** Checks and takes off the tunnel header; `batch.address` says who sent each packet. */
  decapsulate(batch: PacketBatch, replies: PacketBatch): void;
}
