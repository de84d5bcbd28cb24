/**
 * Overlay devices that an earlier Weft left: a persistent tun device without a process. It has its addresses, neighbours
 * and routes, and packets to it are dropped.
 */

import type { DeviceRecord } from '../journal.js';
import type { Link } from './links.js';
import { OVERLAY_DEVICE } from './tun-holders.js';

/** A tun device as a start needs it. */
export interface TunDevice {
  name: string;
  /** `tap`: Ethernet frames. `tun`: IP packets. */
  type: 'tap' | 'tun';
  queues: number;
}

/** Returns whether the device outlived its process. While a process has a queue of it, it has a carrier. */
export function isLeft({ name, kind, data, carrier }: Link): boolean {
  return OVERLAY_DEVICE.test(name) && kind === 'tun' && data.persist === true && !carrier;
}

/** Returns whether a process can attach to this device and forward with it. */
export function suits(link: Link, { name, type, queues }: TunDevice): boolean {
  // The kernel refuses one queue of a device with several, and the reverse (drivers/net/tun.c, tun_set_iff).
  return link.name === name && link.data.type === type && link.data.multi_queue === queues > 1;
}

/** Returns the recorded devices of an earlier run that are still there, but not those that `suits` one of `wanted`. */
export function obsoleteDevices(
  links: readonly Link[],
  recorded: readonly DeviceRecord[],
  wanted: readonly TunDevice[],
): Link[] {
  return links.filter(
    (link) =>
      isLeft(link) &&
      recorded.some(({ name, index }) => name === link.name && index === link.index) &&
      !wanted.some((device) => suits(link, device)),
  );
}
