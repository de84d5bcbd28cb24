/**
 * Sysctls of the overlay device under /proc/sys/net. The kernel sends no event when one changes, so Weft polls them;
 * that takes microseconds and no process.
 */

import { readFileSync, writeFileSync } from 'node:fs';
import type { Family } from '../addresses/family.js';
import { warn } from '../support/log.js';

const NET = '/proc/sys/net/';

/**
 * Where a container mounts /proc/sys/net of its host, which applies to the network namespace of the process that writes.
 * The /proc/sys of a container is read-only, and runtimes refuse mounts inside /proc (opencontainers/runc, checkProcMount).
 */
const NET_OF_HOST = '/host/proc/sys/net/';

export interface Sysctl {
  path: string;
  value: string;
  /** What users lose if it cannot be set; undefined if that is not logged. */
  loss?: string;
}

/**
 * flannel disables router advertisements too. An IPv6 device needs IPv6 even where new devices get none by default, and
 * `conf.default.forwarding` may be 0. The kernel forwards what a device receives if `forwarding` of that device is 1
 * (net/ipv4/route.c, ip_route_input_slow). IPv6 packets need `conf.all.forwarding` instead, which Weft does not own; on
 * the device the sysctl makes the node a router (net/ipv6/addrconf.c). A strict rp_filter does no harm: the route to
 * each source uses the device.
 */
export function vxlanSysctls(device: string, family: Family): Sysctl[] {
  const directory = `/proc/sys/net/ipv6/conf/${device}`;
  const advertisements = { path: `${directory}/accept_ra`, value: '0' };
  if (family === 'ipv6') {
    return [
      { path: `${directory}/disable_ipv6`, value: '0' },
      { path: `${directory}/forwarding`, value: '1' },
      advertisements,
    ];
  }
  const forwarding = {
    path: `/proc/sys/net/ipv4/conf/${device}/forwarding`,
    value: '1',
    loss: 'the kernel drops packets from other nodes to pods',
  };
  return [forwarding, advertisements];
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

/** The sysctls of one device. One that cannot be set, as in a read-only /proc/sys, is ignored until the next device. */
export class Sysctls {
  private readonly desired: readonly Sysctl[];
  private readonly netOfHost: string;
  private readonly refused = new Set<Sysctl>();

  constructor(desired: readonly Sysctl[], netOfHost = NET_OF_HOST) {
    this.desired = desired;
    this.netOfHost = netOfHost;
  }

  get hasDrift(): boolean {
    return this.desired.some((sysctl) => this.hasChanged(sysctl));
  }

  /** Sets all of them on a new device. */
  initialize(): void {
    this.refused.clear();
    for (const sysctl of this.desired) if (!hasValue(sysctl)) this.set(sysctl);
  }

  /** Restores changed values and returns their number. */
  repair(): number {
    return this.desired.filter((sysctl) => this.hasChanged(sysctl) && this.set(sysctl)).length;
  }

  private hasChanged(sysctl: Sysctl): boolean {
    return !this.refused.has(sysctl) && hasOtherValue(sysctl);
  }

  /** Returns false if the write fails. */
  private set(sysctl: Sysctl): boolean {
    const { path, value, loss } = sysctl;
    const code = write(path, value);
    if (code === undefined) return true;
    // The device is gone, or has no IPv6 now: users lose nothing more, and the file may appear again.
    if (code === 'ENOENT') return false;
    if (path.startsWith(NET) && write(path.replace(NET, this.netOfHost), value) === undefined) return true;
    this.refused.add(sysctl);
    if (loss !== undefined) warn(`${path} cannot be set (${code}): ${loss}${remedyOf(code)}`);
    return false;
  }
}

/** Returns what an operator of a container can do about a read-only /proc/sys. */
function remedyOf(code: string): string {
  return code === 'EROFS' ? `; mount the host's ${NET} into the container at ${NET_OF_HOST}` : '';
}

/** Returns the code of the error if the write fails. */
function write(path: string, value: string): string | undefined {
  try {
    writeFileSync(path, value);
    return undefined;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code ?? 'unknown';
  }
}

/** Returns false for a missing file: it disappears with the device, or with IPv6 on it. Other checks notice both. */
function hasOtherValue({ path, value }: Sysctl): boolean {
  return (read(path) ?? value) !== value;
}

function hasValue({ path, value }: Sysctl): boolean {
  return read(path) === value;
}

function read(path: string): string | undefined {
  try {
    return readFileSync(path, 'latin1').trim();
  } catch {
    return undefined;
  }
}
