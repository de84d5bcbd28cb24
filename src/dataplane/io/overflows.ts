/**
 * Packets that the kernel dropped before a worker could read them. The kernel keeps these counts with the device and
 * the sockets; when a device is deleted, its last count read remains.
 */

import { readFileSync } from 'node:fs';
import type { OverflowName } from '../counters.js';
import type { SocketDrops } from './socket-drops.js';

function readNetDev(): string {
  return readFileSync('/proc/net/dev', 'utf8');
}

export class OverflowCounters {
  private readonly deviceName: () => string | undefined;
  private readonly sockets: Pick<SocketDrops, 'read'>;
  private readonly netDev: () => string;
  private deviceDrops = 0;
  /** Drops before this dataplane: an attached device had some, at least those while no process had it. */
  private readonly earlierDrops: number;

  /**
   * `deviceName` returns the present name of the device, undefined once it was deleted: a device can be renamed, and
   * another one can take its name. `netDev` returns the text of /proc/net/dev.
   */
  constructor(
    deviceName: () => string | undefined,
    sockets: Pick<SocketDrops, 'read'>,
    netDev: () => string = readNetDev,
  ) {
    this.deviceName = deviceName;
    this.sockets = sockets;
    this.netDev = netDev;
    this.earlierDrops = this.readDevice() ?? 0;
  }

  read(): Record<OverflowName, number> {
    const drops = this.readDevice();
    if (drops !== undefined) this.deviceDrops = drops - this.earlierDrops;
    return { ...this.sockets.read(), tx_drop_device_overflow: this.deviceDrops };
  }

  private readDevice(): number | undefined {
    const name = this.deviceName();
    return name === undefined ? undefined : transmitDrops(this.netDev(), name);
  }
}

/** Returns a device's transmit drops from the text of /proc/net/dev; undefined without a line for the device. */
function transmitDrops(netDev: string, device: string): number | undefined {
  for (const line of netDev.split('\n')) {
    const [name, columns] = line.split(':');
    // 8 columns of receive, then transmit bytes, packets, errs, drop (net/core/net-procfs.c).
    if (columns !== undefined && name.trim() === device) return Number(columns.trim().split(/\s+/)[11]);
  }
  return undefined;
}
