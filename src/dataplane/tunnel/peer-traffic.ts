/**
 * Packets and bytes of each peer, in both directions. A peer is an underlay address that some entry of the FDB or the
 * routes has (address-table.ts). Its number is the index of its counts. One worker writes the table. Control reads the
 * shared memory meanwhile, so that a status holds up no packet; the counts of one peer may be of different moments.
 *
 * `tx` counts what is handed to the socket, `rx` what passed the peer check. A superpacket counts as its segments, each
 * with all headers. So the counts of both nodes are equal, and those of all peers add up to the totals.
 *
 * Each count also notes the time, to within a second: control wakes the worker once a second, and the worker reads its
 * clock then (worker/worker.ts). So no packet costs a reading.
 */

import type { Ipv6Address, UnderlayAddress } from '../../sys/sockaddr.js';
import { COUNTER_NAMES, type CounterName } from '../counters.js';
import { addCounts, type PeerCounts } from './peer-counts.js';

/** When something happened last, by this thread's `performance.now`; absent if it never did. */
export interface PeerTimes {
  heardAt?: number;
  sentAt?: number;
  /** When the sending began that lasts until `sentAt`, without a pause of a minute. */
  sendingSince?: number;
  drop?: { reason: CounterName; at: number };
}

export interface PeerActivity extends PeerCounts, PeerTimes {
  address: UnderlayAddress;
}

/** A pause of this length ends a period of sending. */
export const SENDING_PAUSE_MS = 60_000;

/** Offsets of the fields of a peer. Times are 0 before the first event. */
const TX_PACKETS = 0;
const TX_BYTES = 1;
const RX_PACKETS = 2;
const RX_BYTES = 3;
const HEARD_AT = 4;
const SENT_AT = 5;
const SENDING_SINCE = 6;
const DROPPED_AT = 7;
const FIELDS = 8;

const MIN_CAPACITY = 64;

/** A worker's table in shared memory. A table that has grown is another one. */
export interface PeerTable {
  /** Per number: the address, or 0 for a free number. */
  addresses: Int32Array;
  /** IPv6: four words for each number that stands for an address. */
  words?: Int32Array;
  fields: Float64Array;
  /** Per number: the counter of the last drop. */
  reasons: Uint8Array;
  /** The time of the answer, by the worker's clock. */
  now: number;
}

export class PeerTraffic {
  private counts = new Float64Array(shared(Float64Array, FIELDS * MIN_CAPACITY));
  private addresses = new Int32Array(shared(Int32Array, MIN_CAPACITY));
  private reasons = new Uint8Array(shared(Uint8Array, MIN_CAPACITY));
  private readonly free: number[] = [];
  /** The lowest number that was never assigned. 0 collects the packets of no peer. */
  private fresh = 1;
  private readonly clock: { now(): number };
  /** The time of the last reading of the clock. An array, because a number of a field would be allocated. */
  private readonly now = new Float64Array(1);

  /** `clock` returns monotonic milliseconds. */
  constructor(clock: { now(): number } = performance) {
    this.clock = clock;
    this.readClock();
  }

  /** Assigns a number to an address. Its counts are 0. */
  add(address: number): number {
    const number = this.free.pop() ?? this.fresh++;
    if (number === this.addresses.length) this.grow();
    const first = number * FIELDS;
    this.counts.fill(0, first, first + FIELDS);
    this.addresses[number] = address;
    return number;
  }

  private grow(): void {
    const { counts, addresses, reasons } = this;
    this.counts = new Float64Array(shared(Float64Array, 2 * counts.length));
    this.counts.set(counts);
    this.addresses = new Int32Array(shared(Int32Array, 2 * addresses.length));
    this.addresses.set(addresses);
    this.reasons = new Uint8Array(shared(Uint8Array, 2 * reasons.length));
    this.reasons.set(reasons);
  }

  /** Frees the number of a peer that is gone. */
  delete(number: number): void {
    this.addresses[number] = 0;
    this.free.push(number);
  }

  /** Reads the clock for the packets that follow. */
  readClock(): void {
    this.now[0] = this.clock.now();
  }

  countTx(number: number, packets: number, bytes: number): void {
    const { counts } = this;
    const first = number * FIELDS;
    const now = this.now[0];
    counts[first + TX_PACKETS] += packets;
    counts[first + TX_BYTES] += bytes;
    const sentAt = counts[first + SENT_AT];
    if (sentAt === 0 || now - sentAt >= SENDING_PAUSE_MS) counts[first + SENDING_SINCE] = now;
    counts[first + SENT_AT] = now;
  }

  countRx(number: number, packets: number, bytes: number): void {
    const { counts } = this;
    const first = number * FIELDS;
    counts[first + RX_PACKETS] += packets;
    counts[first + RX_BYTES] += bytes;
    counts[first + HEARD_AT] = this.now[0];
  }

  /** Notes the counter under which a packet to or from a peer was dropped. */
  noteDrop(number: number, reason: number): void {
    this.counts[number * FIELDS + DROPPED_AT] = this.now[0];
    this.reasons[number] = reason;
  }

  /** Returns the table itself, for another thread to read. */
  share(): PeerTable {
    return { addresses: this.addresses, fields: this.counts, reasons: this.reasons, now: this.clock.now() };
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

/** Returns memory for so many elements of a typed array. */
function shared(
  { BYTES_PER_ELEMENT }: { readonly BYTES_PER_ELEMENT: number },
  length: number,
): SharedArrayBuffer {
  return new SharedArrayBuffer(BYTES_PER_ELEMENT * length);
}

/** Returns the activity of each peer of a table that has any. `received`: when the answer arrived, by this thread's clock. */
export function activityIn(table: PeerTable, received: number): PeerActivity[] {
  const { addresses, words, fields } = table;
  const activities: PeerActivity[] = [];
  for (let number = 1; number < addresses.length; number++) {
    const address = addresses[number];
    const first = number * FIELDS;
    const used = fields[first + TX_PACKETS] + fields[first + RX_PACKETS] + fields[first + DROPPED_AT];
    if (address === 0 || used === 0) continue;
    activities.push({
      address: words === undefined ? address : ipv6Of(words, address),
      txPackets: fields[first + TX_PACKETS],
      txBytes: fields[first + TX_BYTES],
      rxPackets: fields[first + RX_PACKETS],
      rxBytes: fields[first + RX_BYTES],
      ...timesIn(table, number, received),
    });
  }
  return activities;
}

/** `words` are in network order. */
function ipv6Of(words: Int32Array, number: number): Ipv6Address {
  const view = new DataView(words.buffer, words.byteOffset + 16 * number, 16);
  return [view.getInt32(0), view.getInt32(4), view.getInt32(8), view.getInt32(12)];
}

function timesIn({ fields, reasons, now }: PeerTable, number: number, received: number): PeerTimes {
  const times: PeerTimes = {};
  const at = (field: number): number => received - now + fields[number * FIELDS + field];
  if (fields[number * FIELDS + HEARD_AT] > 0) times.heardAt = at(HEARD_AT);
  if (fields[number * FIELDS + SENT_AT] > 0) {
    times.sentAt = at(SENT_AT);
    times.sendingSince = at(SENDING_SINCE);
  }
  if (fields[number * FIELDS + DROPPED_AT] > 0)
    times.drop = { reason: COUNTER_NAMES[reasons[number]], at: at(DROPPED_AT) };
  return times;
}

/** Returns the activity of each peer, summed over the threads and the fast path. */
export function sumActivity(answers: readonly PeerActivity[]): PeerActivity[] {
  const sums = new Map<UnderlayAddress | string, PeerActivity>();
  for (const activity of answers) {
    const { address } = activity;
    const key = typeof address === 'number' ? address : String(address);
    const sum = sums.get(key);
    sums.set(
      key,
      sum === undefined ? activity : { address, ...addCounts(sum, activity), ...latest(sum, activity) },
    );
  }
  return [...sums.values()];
}

/** Returns the last times of two parts of a peer's traffic. */
function latest(a: PeerTimes, b: PeerTimes): PeerTimes {
  const [last, other] = (a.sentAt ?? 0) >= (b.sentAt ?? 0) ? [a, b] : [b, a];
  const { sentAt, sendingSince } = last;
  const heardAt = Math.max(a.heardAt ?? 0, b.heardAt ?? 0);
  const drop = (a.drop?.at ?? 0) >= (b.drop?.at ?? 0) ? a.drop : b.drop;
  const together = sentAt !== undefined && sentAt - (other.sentAt ?? 0) < SENDING_PAUSE_MS;
  return {
    ...(heardAt > 0 && { heardAt }),
    ...(sentAt !== undefined && { sentAt }),
    ...(sendingSince !== undefined && {
      sendingSince: together ? Math.min(sendingSince, other.sendingSince ?? sendingSince) : sendingSince,
    }),
    ...(drop !== undefined && { drop }),
  };
}
