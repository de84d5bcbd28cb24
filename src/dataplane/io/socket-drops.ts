/**
 * Why the kernel dropped datagrams at the receiving sockets: a full buffer, a wrong UDP checksum, or the filter.
 *
 * A socket has one count for all (sk_drops, net/ipv4/udp.c), and only the network namespace counts checksum failures
 * alone (InCsumErrors). So a drop counts as a checksum failure as long as the namespace has such a failure that no earlier
 * drop explains. It counts as an overflow otherwise; while the sockets have a filter, as long as the namespace has such
 * overflows (RcvbufErrors), and then as filtered. Limits:
 *
 * - If a socket of another program receives a wrong checksum, one overflow here in the same interval counts as a
 *   checksum failure. An interval lies between two reads of the counters.
 * - While the sockets have a filter, the same holds for overflows of another program's socket.
 * - The kernel checks some short datagrams before it knows the socket. It counts their failures only in the namespace.
 */

import { readFileSync } from 'node:fs';
import { AF_INET6 } from '../../sys/constants.js';
import type { SocketFamily } from '../../sys/sockaddr.js';
import { receiveDrops } from './udp-socket.js';

export interface SocketDropCounts {
  rx_drop_socket_overflow: number;
  rx_drop_checksum: number;
  rx_drop_filtered: number;
}

export class SocketDrops {
  private readonly fds: readonly number[];
  private readonly dropsOf: (fd: number) => number;
  private readonly checksumErrors: () => number;
  private readonly counts: SocketDropCounts = {
    rx_drop_socket_overflow: 0,
    rx_drop_checksum: 0,
    rx_drop_filtered: 0,
  };
  /** The last values read, of each socket and of the namespace. */
  private readonly drops: number[];
  private errors: number;
  /** Checksum failures of the last interval without a drop: the kernel counts the failure before the drop. */
  private early = 0;
  private readonly bufferErrors: () => number;
  /** The namespace's overflows at the last read with a filter. */
  private overflows = 0;
  private isFiltering = false;

  /** The functions that read the kernel's counts are replaced by tests. */
  constructor(
    fds: readonly number[],
    family: SocketFamily,
    dropsOf: (fd: number) => number = receiveDrops,
    checksumErrors: () => number = () => readErrors(family, 'InCsumErrors'),
    bufferErrors: () => number = () => readErrors(family, 'RcvbufErrors'),
  ) {
    this.bufferErrors = bufferErrors;
    this.fds = fds;
    this.dropsOf = dropsOf;
    this.checksumErrors = checksumErrors;
    // Sockets of another process have drops already.
    this.drops = fds.map(dropsOf);
    this.errors = checksumErrors();
  }

  /** Whether the sockets have a filter. Set it right after a `read`. */
  get filtering(): boolean {
    return this.isFiltering;
  }

  set filtering(filtering: boolean) {
    this.isFiltering = filtering;
    if (filtering) this.overflows = this.bufferErrors();
  }

  read(): SocketDropCounts {
    let dropped = 0;
    // In this order: every drop read here has its checksum failure below.
    for (const [index, fd] of this.fds.entries()) {
      const now = this.dropsOf(fd);
      const before = this.drops[index] ?? 0;
      // A descriptor may refer to another socket by now, whose count began at 0.
      dropped += now >= before ? now - before : now;
      this.drops[index] = now;
    }
    const errors = this.checksumErrors();
    const failed = Math.max(0, errors - this.errors);
    this.errors = errors;
    const explained = Math.min(dropped, failed + this.early);
    this.early = Math.min(failed, failed + this.early - explained);
    this.counts.rx_drop_checksum += explained;
    const others = dropped - explained;
    const overflowed = this.isFiltering ? Math.min(others, this.newOverflows()) : others;
    this.counts.rx_drop_socket_overflow += overflowed;
    this.counts.rx_drop_filtered += others - overflowed;
    return { ...this.counts };
  }

  private newOverflows(): number {
    const overflows = this.bufferErrors();
    const fresh = Math.max(0, overflows - this.overflows);
    this.overflows = overflows;
    return fresh;
  }
}

/** The counts of a namespace that are read here: both since 3.10. */
export type UdpErrorCount = 'InCsumErrors' | 'RcvbufErrors';

/** Returns a count of a family's datagrams in this network namespace. */
function readErrors({ domain }: SocketFamily, name: UdpErrorCount): number {
  try {
    return domain === AF_INET6
      ? udp6Errors(readFileSync('/proc/net/snmp6', 'utf8'), name)
      : udpErrors(readFileSync('/proc/net/snmp', 'utf8'), name);
  } catch {
    return 0;
  }
}

/** Returns a count from the text of /proc/net/snmp: a line of names, then a line of values. */
export function udpErrors(snmp: string, name: UdpErrorCount): number {
  const [names = [], values = []] = [...snmp.matchAll(/^Udp: (.*)$/gm)].map(([, fields = '']) =>
    fields.split(' '),
  );
  return Number(values[names.indexOf(name)] ?? 0);
}

/** Returns a count from the text of /proc/net/snmp6: a name and a value per line. */
export function udp6Errors(snmp6: string, name: UdpErrorCount): number {
  return Number(new RegExp(`^Udp6${name}\\s+(\\d+)$`, 'm').exec(snmp6)?.[1] ?? 0);
}
