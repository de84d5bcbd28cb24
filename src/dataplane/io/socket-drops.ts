/**
 * Why the kernel dropped datagrams at the receiving sockets: a full buffer, or a wrong UDP checksum.
 *
 * A socket has one count for both (sk_drops, net/ipv4/udp.c), and only the network namespace counts checksum failures
 * alone (InCsumErrors). So a drop counts as a checksum failure as long as the namespace has such a failure that no earlier
 * drop explains. It counts as an overflow otherwise. Limits:
 *
 * - If a socket of another program receives a wrong checksum, one overflow here in the same interval counts as a
 *   checksum failure. An interval lies between two reads of the counters.
 * - The kernel checks some short datagrams before it knows the socket. It counts their failures only in the namespace.
 */

import { readFileSync } from 'node:fs';
import { AF_INET6 } from '../../sys/constants.js';
import type { SocketFamily } from '../../sys/sockaddr.js';
import { receiveDrops } from './udp-socket.js';

export interface SocketDropCounts {
  rx_drop_socket_overflow: number;
  rx_drop_checksum: number;
}

export class SocketDrops {
  private readonly fds: readonly number[];
  private readonly dropsOf: (fd: number) => number;
  private readonly checksumErrors: () => number;
  private readonly counts: SocketDropCounts = { rx_drop_socket_overflow: 0, rx_drop_checksum: 0 };
  /** The last values read, of each socket and of the namespace. */
  private readonly drops: number[];
  private errors: number;
  /** Checksum failures of the last interval without a drop: the kernel counts the failure before the drop. */
  private early = 0;

  /** The functions that read the kernel's counts are replaced by tests. */
  constructor(
    fds: readonly number[],
    family: SocketFamily,
    dropsOf: (fd: number) => number = receiveDrops,
    checksumErrors: () => number = () => readChecksumErrors(family),
  ) {
    this.fds = fds;
    this.dropsOf = dropsOf;
    this.checksumErrors = checksumErrors;
    this.drops = fds.map(() => 0);
    this.errors = checksumErrors();
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
    this.counts.rx_drop_socket_overflow += dropped - explained;
    return { ...this.counts };
  }
}

/** Returns the checksum failures of a family's datagrams in this network namespace. */
function readChecksumErrors({ domain }: SocketFamily): number {
  try {
    return domain === AF_INET6
      ? udp6ChecksumErrors(readFileSync('/proc/net/snmp6', 'utf8'))
      : udpChecksumErrors(readFileSync('/proc/net/snmp', 'utf8'));
  } catch {
    return 0;
  }
}

/** Returns InCsumErrors (3.10) from the text of /proc/net/snmp: a line of names, then a line of values. */
export function udpChecksumErrors(snmp: string): number {
  const [names = [], values = []] = [...snmp.matchAll(/^Udp: (.*)$/gm)].map(([, fields = '']) =>
    fields.split(' '),
  );
  return Number(values[names.indexOf('InCsumErrors')] ?? 0);
}

/** Returns Udp6InCsumErrors (3.10) from the text of /proc/net/snmp6: a name and a value per line. */
export function udp6ChecksumErrors(snmp6: string): number {
  return Number(/^Udp6InCsumErrors\s+(\d+)$/m.exec(snmp6)?.[1] ?? 0);
}
