/**
 * Offload levels: which kernel features the two ports use.
 *
 *     none   one frame per system call on the device, one datagram per packet
 *     gso    superpackets: device with virtio-net header (2.6.27), UDP_SEGMENT (4.18), UDP_GRO (5.0)
 */

export type OffloadLevel = 'none' | 'gso';

export interface Offload {
  level: OffloadLevel;
  /** Whether the device carries UDP superpackets in both directions (USO, Linux 6.2); false at level `none`. */
  uso: boolean;
}

export const NO_OFFLOAD: Offload = { level: 'none', uso: false };
