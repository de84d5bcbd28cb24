/**
 * Sysctls of the overlay device under /proc/sys/net. The kernel sends no event when one changes, so Weft polls them;
 * that takes microseconds and no process.
 */

import { readFileSync, writeFileSync } from 'node:fs';
import type { Family } from '../addresses/family.js';
import { warn } from '../support/log.js';

export interface Sysctl {
  path: string;
  value: string;
  /** What users lose if it cannot be set; undefined if that is not logged. */
  loss?: string;
}

/** flannel disables router advertisements too. An IPv6 device needs IPv6 even where new devices get none by default. */
export function vxlanSysctls(device: string, family: Family): Sysctl[] {
  const directory = `/proc/sys/net/ipv6/conf/${device}`;
  const advertisements = { path: `${directory}/accept_ra`, value: '0' };
  if (family === 'ipv4') return [advertisements];
  return [{ path: `${directory}/disable_ipv6`, value: '0' }, advertisements];
}

/**
 * With `accept_local` the kernel accepts packets from the device whose source is its own address: the ICMP errors of the
 * dataplane. Without it they are martians (net/ipv4/fib_frontend.c, fib_validate_source).
 */
export function udpSysctls(device: string): Sysctl[] {
  return [
    ...vxlanSysctls(device, 'ipv4'),
    {
      path: `/proc/sys/net/ipv4/conf/${device}/accept_local`,
      value: '1',
      loss: 'pods get no ICMP error for a packet that has no route',
    },
  ];
}

/**
 * The sysctls of one device. A sysctl that cannot be set (a kernel without IPv6, a read-only /proc/sys) is ignored from
 * then on.
 */
export class Sysctls {
  private desired: readonly Sysctl[];

  constructor(desired: readonly Sysctl[]) {
    this.desired = desired;
  }

  get hasDrift(): boolean {
    return this.desired.some(hasOtherValue);
  }

  /** Sets all of them on a new device, and ignores those that cannot be set from then on. */
  initialize(): void {
    this.desired = this.desired.filter(set);
  }

  /** Restores changed values and returns their number. */
  repair(): number {
    const changed = this.desired.filter(hasOtherValue);
    const failed = changed.filter((sysctl) => !set(sysctl));
    this.desired = this.desired.filter((sysctl) => !failed.includes(sysctl));
    return changed.length - failed.length;
  }
}

function hasOtherValue({ path, value }: Sysctl): boolean {
  try {
    return readFileSync(path, 'latin1').trim() !== value;
  } catch {
    // The file disappears with the device, or with IPv6 on it. Other checks notice both.
    return false;
  }
}

/** Returns false if the write fails. */
function set({ path, value, loss }: Sysctl): boolean {
  try {
    writeFileSync(path, value);
    return true;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    // ENOENT: the device is gone, so users lose nothing more.
    if (loss !== undefined && code !== 'ENOENT') warn(`${path} cannot be set (${code}): ${loss}`);
    return false;
  }
}
