/** How many datagrams a GSO run may have, and why there are none on some kernels. */

import { isAtLeast, type KernelVersion } from '../../sys/kernel-version.js';

/**
 * UDP_MAX_SEGMENTS (linux/udp.h; since 6.9 it is 128). Before 5.16, and over IPv6 before 5.17, udp_send_skb compared
 * skb->len with the headers against gso_size * UDP_MAX_SEGMENTS. So it refused a run of 64 full datagrams with EINVAL
 * (fixed by 158390e45612, net/ipv4/udp.c).
 */
const MAX_DATAGRAMS = 64;
const EXACT_LIMIT: KernelVersion = [5, 17, 0];

/**
 * These kernels damage UDP headers and checksums of runs whose datagrams all have one size, on some links. b10b446
 * (7.0-rc1) causes it; 78effd8 and 5f17ae0 repair it (github.com/tailscale/tailscale/pull/19918). A program cannot tell
 * which links are affected, so no run is sent on these kernels.
 */
const DAMAGED_FROM: KernelVersion = [7, 0, 0];
const DAMAGED_UNTIL: KernelVersion = [7, 1, 5];

/** The value of an option: whether GSO runs are sent where the kernel allows it. */
export type GsoRuns = 'auto' | 'off';

export interface GsoRunLimit {
  /** The most datagrams of a run; 1: every datagram is sent alone. */
  datagrams: number;
  /** Why no runs are sent. */
  reason?: string;
}

/** Returns the limit for a kernel. */
export function gsoRunLimit(wanted: GsoRuns, version: KernelVersion): GsoRunLimit {
  if (wanted === 'off') return { datagrams: 1, reason: 'GSO runs are switched off' };
  if (isAtLeast(version, DAMAGED_FROM) && !isAtLeast(version, DAMAGED_UNTIL)) {
    const name = version.join('.');
    return { datagrams: 1, reason: `Linux ${name} damages GSO runs; fixed in ${DAMAGED_UNTIL.join('.')}` };
  }
  return { datagrams: isAtLeast(version, EXACT_LIMIT) ? MAX_DATAGRAMS : MAX_DATAGRAMS - 1 };
}
