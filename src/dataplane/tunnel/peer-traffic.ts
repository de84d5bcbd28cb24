/**
 * Packets and bytes of each peer, in both directions. A peer is an underlay address that some entry of the FDB or the
 * routes has (address-table.ts). Its number is the index of its counts. One worker owns the table; nothing is locked.
 *
 * `tx` counts what is handed to the socket, `rx` what passed the peer check. A superpacket counts as its segments, with
 * the bytes of its one set of headers. A TCP superpacket of a kernel peer counts as one packet (partial-checksum.ts).
 */

import type { UnderlayAddress } from '../../sys/sockaddr.js';

/** The counts of one peer since it was added. */
export interface PeerCounts {
  txPackets: number;
  txBytes: number;
  rxPackets: number;
  rxBytes: number;
}

export const NO_COUNTS: PeerCounts = { txPackets: 0, txBytes: 0, rxPackets: 0, rxBytes: 0 };

export function addCounts(a: PeerCounts, b: PeerCounts): PeerCounts {
  return {
    txPackets: a.txPackets + b.txPackets,
    txBytes: a.txBytes + b.txBytes,
    rxPackets: a.rxPackets + b.rxPackets,
    rxBytes: a.rxBytes + b.rxBytes,
  };
}

export interface PeerActivity extends PeerCounts {
  address: UnderlayAddress;
}

/** Offsets of the counts of a peer. */
const TX_PACKETS = 0;
const TX_BYTES = 1;
const RX_PACKETS = 2;
const RX_BYTES = 3;
const FIELDS = 4;

const MIN_CAPACITY = 64;

export class PeerTraffic {
  private counts = new Float64Array(FIELDS * MIN_CAPACITY);
  private readonly free: number[] = [];
  /** The lowest number that was never assigned. 0 collects the packets of no peer. */
  private fresh = 1;

  /** Assigns a number, whose counts are 0. */
  add(): number {
    const number = this.free.pop() ?? this.fresh++;
    const first = number * FIELDS;
    if (first === this.counts.length) {
      const counts = new Float64Array(2 * this.counts.length);
      counts.set(this.counts);
      this.counts = counts;
    }
    this.counts.fill(0, first, first + FIELDS);
    return number;
  }

  /** Frees the number of a peer that is gone. */
  delete(number: number): void {
    this.free.push(number);
  }

  countTx(number: number, packets: number, bytes: number): void {
    const { counts } = this;
    const first = number * FIELDS;
    counts[first + TX_PACKETS] += packets;
    counts[first + TX_BYTES] += bytes;
  }

  countRx(number: number, packets: number, bytes: number): void {
    const { counts } = this;
    const first = number * FIELDS;
    counts[first + RX_PACKETS] += packets;
    counts[first + RX_BYTES] += bytes;
  }

  /** Returns whether a peer has packets in either direction. */
  hasPackets(number: number): boolean {
    const first = number * FIELDS;
    return this.counts[first + TX_PACKETS] > 0 || this.counts[first + RX_PACKETS] > 0;
  }

  /** Returns the counts of a peer. Allocates; for status only. */
  read(number: number): PeerCounts {
    const { counts } = this;
    const first = number * FIELDS;
    return {
      txPackets: counts[first + TX_PACKETS],
      txBytes: counts[first + TX_BYTES],
      rxPackets: counts[first + RX_PACKETS],
      rxBytes: counts[first + RX_BYTES],
    };
  }
}

/**
 * Returns the counts of each peer of a table that has any. Those of thirty thousand peers without packets would hold up a
 * forwarding thread.
 */
export function activityOf(
  table: { peerAddresses(): Iterable<number>; numberOf(address: number): number },
  traffic: PeerTraffic,
  toUnderlay: (address: number) => UnderlayAddress,
): PeerActivity[] {
  const activities: PeerActivity[] = [];
  for (const address of table.peerAddresses()) {
    const number = table.numberOf(address);
    if (traffic.hasPackets(number))
      activities.push({ address: toUnderlay(address), ...traffic.read(number) });
  }
  return activities;
}

/** Returns the activity of each peer, summed over the threads and the fast path. */
export function sumActivity(answers: readonly PeerActivity[]): PeerActivity[] {
  const sums = new Map<string, PeerActivity>();
  for (const activity of answers) {
    const { address } = activity;
    const key = String(address);
    sums.set(key, { address, ...addCounts(sums.get(key) ?? NO_COUNTS, activity) });
  }
  return [...sums.values()];
}
