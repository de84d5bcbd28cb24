/**
 * Packets that the kernel dropped because no worker read them in time. The kernel keeps these counts with the device and
 * the sockets; when a device is deleted, its last count read remains.
 */

import { readFileSync } from 'node:fs';
import type { OverflowName } from '../counters.js';
import { receiveOverflows } from './udp-socket.js';

function readNetDev(): string {
  return readFileSync('/proc/net/dev', 'utf8');
}

export class OverflowCounters {
  private readonly deviceName: () => string | undefined;
  private readonly socketFds: readonly number[];
  private readonly netDev: () => string;
  private deviceDrops = 0;
  /** The drops of sockets that were replaced. */
  private pastSocketDrops = 0;

  /**
   * `deviceName` returns the present name of the device, undefined once it was deleted: a device can be renamed, and
   * another one can take its name. `netDev` returns the text of /proc/net/dev.
   */
  constructor(
    deviceName: () => string | undefined,
    socketFds: readonly number[],
    netDev: () => string = readNetDev,
  ) {
    this.deviceName = deviceName;
    this.socketFds = socketFds;
    this.netDev = netDev;
  }

  /** Keeps the counts of the sockets, which are about to be replaced. */
  keep(): void {
    this.pastSocketDrops += this.socketDrops();
  }

  read(): Record<OverflowName, number> {
    const name = this.deviceName();
    if (name !== undefined) this.deviceDrops = transmitDrops(this.netDev(), name) ?? this.deviceDrops;
    return {
      rx_drop_socket_overflow: this.pastSocketDrops + this.socketDrops(),
      tx_drop_device_overflow: this.deviceDrops,
    };
  }

  private socketDrops(): number {
    return this.socketFds.reduce((sum, fd) => sum + receiveOverflows(fd), 0);
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
