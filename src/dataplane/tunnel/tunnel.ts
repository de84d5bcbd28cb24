/**
 * A tunnel: what stands between the overlay port and the underlay port. It knows headers and peers, no device.
 *
 * Both methods work on a batch in place, drop (and count) what may not pass and close the gaps, keeping the order.
 */

import type { PacketBatch } from '../memory/batch.js';
import type { PeerCheck, VxlanOptions } from './vxlan.js';

export type TunnelOptions = ({ type: 'vxlan' } & VxlanOptions) | ({ type: 'udp' } & UdpTunnelOptions);

export interface UdpTunnelOptions {
  /** The device's own address (the subnet's base), IPv4 in host order, signed: source of ICMP errors. */
  address: number;
  peerCheck: PeerCheck;
}

export interface Tunnel {
  /** Gives every packet its tunnel header, in its headroom, and the address of its VTEP. */
  encapsulate(batch: PacketBatch): void;
  /** Checks and takes off the tunnel header; `batch.address` says who sent each packet. */
  decapsulate(batch: PacketBatch): void;
}
