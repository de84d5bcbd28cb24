/**
 * Offload levels: which kernel features the two ports use.
 *
 *     none   one frame per system call on the device, one datagram per packet
 *     gso    superpackets: device with virtio-net header (2.6.27), UDP_SEGMENT (4.18), UDP_GRO (5.0)
 *
 * At level `gso` one direction may still use level `none`, because the kernel refuses or damages what it gets.
 */

export type OffloadLevel = 'none' | 'gso';

export interface Offload {
  level: OffloadLevel;
  /** Whether the device carries UDP superpackets in both directions (USO, Linux 6.2); false at level `none`. */
  uso: boolean;
  /** Whether superpackets are written to the device. */
  superpackets: boolean;
  /** The most datagrams of a GSO run; 1: every datagram is sent alone. */
  maxRun: number;
}

export const NO_OFFLOAD: Offload = { level: 'none', uso: false, superpackets: false, maxRun: 1 };

/** `transmit`: GSO runs to the underlay. `receive`: superpackets to the device. */
export type Direction = 'transmit' | 'receive';

/** The level that a direction uses, and why it is not `gso`. */
export interface DirectionLevel {
  level: OffloadLevel;
  reason?: string;
}

/** Returns why a direction fell back when the kernel refused what it was given, with this errno's name. */
export function refusalReason(direction: Direction, code: string): string {
  return `the kernel refuses ${direction === 'transmit' ? 'GSO runs' : 'superpackets'} (${code})`;
}
