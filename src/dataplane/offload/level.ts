/**
 * The ladder of offload rungs: what this kernel lets the two ports do, from any kernel's least to most.
 *
 *     none   one frame a system call on the TAP, one datagram a packet
 *     gso    superpackets: TAP with virtio-net header (2.6.27), UDP_SEGMENT (4.18), UDP_GRO (5.0)
 */

export type Rung = 'none' | 'gso';

export interface Offload {
  rung: Rung;
  /** Whether the TAP takes and gives UDP superpackets (USO, Linux 6.2); on rung `none` false. */
  uso: boolean;
}

export const NO_OFFLOAD: Offload = { rung: 'none', uso: false };
