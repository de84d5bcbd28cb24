/**
 * Overlay devices that an earlier Weft left: a persistent tun device without a process. It has its addresses, neighbours
 * and routes, and packets to it are dropped. An alias tells it from the device of another program, even if the run
 * directory is lost.
 */

import type { Link } from './links.js';
import { OVERLAY_DEVICE } from './tun-holders.js';

/** The alias of every device that Weft creates. */
export const ALIAS = 'weft';

/** A tun device as a start needs it. */
export interface TunDevice {
  name: string;
  /** `tap`: Ethernet frames. `tun`: IP packets. */
  type: 'tap' | 'tun';
  queues: number;
}

/** Returns whether the device outlived its process. While a process has a queue of it, it has a carrier. */
export function isLeft({ name, alias, kind, data, carrier }: Link): boolean {
  return OVERLAY_DEVICE.test(name) && alias === ALIAS && kind === 'tun' && data.persist === true && !carrier;
}

/** Returns whether a process can attach to this device and forward with it. */
export function suits(link: Link, { name, type, queues }: TunDevice): boolean {
  // The kernel refuses one queue of a device with several, and the reverse (drivers/net/tun.c, tun_set_iff).
  return link.name === name && link.data.type === type && link.data.multi_queue === queues > 1;
}

/** Returns the devices of earlier runs that suit none of `wanted`. */
export function obsoleteDevices(links: readonly Link[], wanted: readonly TunDevice[]): Link[] {
  return links.filter((link) => isLeft(link) && !wanted.some((device) => suits(link, device)));
}
