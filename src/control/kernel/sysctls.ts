/**
 * Settings of the overlay device under /proc/sys/net, held as they are to be. Nobody announces a change of one, so they are
 * read again; that takes microseconds and no process.
 */

import { readFileSync, writeFileSync } from 'node:fs';
import type { Family } from '../addresses/family.js';
import { warn } from '../support/log.js';

export interface Setting {
  path: string;
  value: string;
  /** What it means that it cannot be set; undefined where nobody need know. */
  loss?: string;
}

/** flannel switches router advertisements off too. An IPv6 device has IPv6, even where new devices are to have none. */
export function vxlanSettings(device: string, family: Family): Setting[] {
  const directory = `/proc/sys/net/ipv6/conf/${device}`;
  const advertisements = { path: `${directory}/accept_ra`, value: '0' };
  if (family === 'ipv4') return [advertisements];
  return [{ path: `${directory}/disable_ipv6`, value: '0' }, advertisements];
}

/**
 * `accept_local` lets packets come in through the device that have its own address as their source: the dataplane's ICMP
 * errors. The kernel takes them for martians otherwise (net/ipv4/fib_frontend.c, fib_validate_source).
 */
export function udpSettings(device: string): Setting[] {
  return [
    ...vxlanSettings(device, 'ipv4'),
    {
      path: `/proc/sys/net/ipv4/conf/${device}/accept_local`,
      value: '1',
      loss: 'pods are not told when a packet goes nowhere',
    },
  ];
}

export class Settings {
  /** Without those that cannot be set here: the kernel has no IPv6, /proc/sys is read-only. */
  private held: readonly Setting[];

  constructor(settings: readonly Setting[]) {
    this.held = settings;
  }

  /** True when one is there and is not as it is to be. */
  get deviate(): boolean {
    return this.held.some(deviates);
  }

  /** Sets all those of a fresh device; one that it does not have is not asked for again. */
  establish(): void {
    this.held = this.held.filter(set);
  }

  /** Puts right what someone has changed; returns how many they were. */
  hold(): number {
    const changed = this.held.filter(deviates);
    const refused = changed.filter((setting) => !set(setting));
    this.held = this.held.filter((setting) => !refused.includes(setting));
    return changed.length - refused.length;
  }
}

function deviates({ path, value }: Setting): boolean {
  try {
    return readFileSync(path, 'latin1').trim() !== value;
  } catch {
    // Gone with its device, or with IPv6 on it: both are seen elsewhere.
    return false;
  }
}

/** False when it cannot be. */
function set({ path, value, loss }: Setting): boolean {
  try {
    writeFileSync(path, value);
    return true;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    // Without the device nothing is lost.
    if (loss !== undefined && code !== 'ENOENT') warn(`${path} cannot be set (${code}): ${loss}`);
    return false;
  }
}
