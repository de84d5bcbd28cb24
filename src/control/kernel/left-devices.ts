/**
 * Overlay devices that an earlier Weft left: a persistent tun device without a process. It has its addresses, neighbours
 * and routes, and packets to it are dropped. An alias tells it from the device of another program, even if the run
 * directory is lost or the device has another name. Without the alias, name and index in the journal tell it.
 */

import { isIpWord } from '../support/command-input.js';
import type { Link } from './links.js';

/** The alias of every device that Weft creates. */
export const ALIAS = 'weft';

/** A tun device as a start needs it. */
export interface TunDevice {
  name: string;
  /** `tap`: Ethernet frames. `tun`: IP packets. */
  type: 'tap' | 'tun';
  queues: number;
}

/** What the journal has of a device. */
export interface RecordedDevice {
  name: string;
  index: number | undefined;
}

/**
 * Returns whether the device outlived its process. While a process has a queue of it, it has a carrier. A device without
 * the alias is one of `recorded`: another program may have removed its alias, and the kernel gives no index twice.
 */
export function isLeft(link: Link, recorded: readonly RecordedDevice[] = []): boolean {
  const { name, index, alias, kind, data, carrier } = link;
  // `ip -batch` cannot name every device, and Weft gives no such name.
  if (kind !== 'tun' || data.persist !== true || carrier || !isIpWord(name)) return false;
  return alias === ALIAS || recorded.some((device) => device.name === name && device.index === index);
}

/** Returns whether a process can attach to this device and forward with it. */
export function suits(link: Link, { name, type, queues }: TunDevice): boolean {
  // The kernel refuses one queue of a device with several, and the reverse (drivers/net/tun.c, tun_set_iff).
  return link.name === name && link.data.type === type && link.data.multi_queue === queues > 1;
}

/** Returns the devices of earlier runs that suit none of `wanted`. */
export function obsoleteDevices(
  links: readonly Link[],
  wanted: readonly TunDevice[],
  recorded: readonly RecordedDevice[],
): Link[] {
  return links.filter((link) => isLeft(link, recorded) && !wanted.some((device) => suits(link, device)));
}
