/** Compares what left the dataplane with what the model expects. Throws Mismatch with one line. */

import type { DeviceWrite, SentMessage } from './kernel.js';
import { type ExpectedDatagram, type ExpectedPacket, finalPackets } from './model.js';
import { type PacketOptions, UDP_PORT } from './options.js';
import {
  ETHERNET,
  equalBytes,
  flowOf,
  hexOf,
  type Inner,
  LONGEST_HEADERS,
  parse,
  pseudoSum,
  put16,
  segments,
  sum16,
  TCP,
  u16,
  writeL4Checksum,
} from './wire.js';

/** Largest UDP payload over IPv4. */
const MAX_PAYLOAD = 65507;
const EAGAIN = 11;

export class Mismatch extends Error {}

/** What the comparison found out about packets that left: counters that depend on how packets are grouped. */
export type Grouped = Record<string, number>;

function add(counters: Grouped, name: string, by: number): void {
  counters[name] = (counters[name] ?? 0) + by;
}

/**
 * Compares the datagrams. Those of a flow leave through one socket in order; `socketOf` remembers it. Returns the
 * counters of the datagrams that left, and how many did not.
 */
export function checkDatagrams(
  sent: readonly SentMessage[],
  expected: readonly ExpectedDatagram[],
  options: PacketOptions,
  socketOf: Map<string, number>,
): { counters: Grouped; missing: number } {
  const header = options.tunnel === 'vxlan' ? 8 : 0;
  const counters: Grouped = {};
  const queues: ExpectedDatagram[][] = Array.from({ length: options.sockets }, () => []);
  for (const message of sent) {
    const datagrams = datagramsOf(message, options);
    queues[message.socket].push(...datagrams);
    add(counters, 'tx_packets', datagrams.length);
    add(counters, 'tx_bytes', message.data.length - header * datagrams.length);
    if (datagrams.length > 1) add(counters, 'tx_trains', 1);
  }
  const next = queues.map(() => 0);
  let missing = 0;
  for (const datagram of expected) {
    const socket = queues.findIndex((queue, index) => {
      const head = queue[next[index]];
      return head !== undefined && isSame(head, datagram);
    });
    if (socket < 0) {
      missing++;
      continue;
    }
    next[socket]++;
    if (options.sockets > 1) rememberSocket(datagram.data.subarray(header), socket, socketOf);
  }
  for (const [index, queue] of queues.entries()) {
    const extra = queue[next[index]];
    if (extra === undefined) continue;
    throw new Mismatch(
      `socket ${index} sent an unexpected datagram to ${hexOf(extra.address)} with TOS ${extra.tos}: ${hexOf(extra.data)}; ${missing} of ${expected.length} are missing, the first to ${hexOf(expected[0]?.address ?? new Uint8Array(0))}`,
    );
  }
  return { counters, missing };
}

function isSame(a: ExpectedDatagram, b: ExpectedDatagram): boolean {
  return a.tos === b.tos && equalBytes(a.data, b.data) && equalBytes(a.address, b.address);
}

function rememberSocket(frame: Uint8Array, socket: number, socketOf: Map<string, number>): void {
  const flow = flowOf(frame, parse(frame, ETHERNET));
  if (flow === undefined) return;
  const before = socketOf.get(flow);
  if (before !== undefined && before !== socket)
    throw new Mismatch(`flow ${flow} changed from socket ${before} to ${socket}`);
  socketOf.set(flow, socket);
}

/** Cuts a message as the kernel does (udp(7), UDP_SEGMENT). */
function datagramsOf(message: SentMessage, options: PacketOptions): ExpectedDatagram[] {
  const { data, segment, address, tos, port } = message;
  if (port !== UDP_PORT) throw new Mismatch(`a message to port ${port}`);
  const size = segment === 0 ? Math.max(1, data.length) : segment;
  const count = Math.max(1, Math.ceil(data.length / size));
  if (count > options.maxRun)
    throw new Mismatch(`a run of ${count} datagrams; ${options.maxRun} are allowed`);
  if (count > 1 && data.length > MAX_PAYLOAD) throw new Mismatch(`a run of ${data.length} bytes`);
  return Array.from({ length: count }, (_, index) => ({
    address,
    tos,
    data: data.subarray(index * size, (index + 1) * size),
  }));
}

/**
 * Compares the packets that reached the device with the expected ones. Coalescing may join packets of a flow. A joined
 * packet overtakes none of its flow, except a TCP segment without data. It overtakes none whose flow is unknown.
 */
export function checkPackets(
  writes: readonly DeviceWrite[],
  expected: readonly ExpectedPacket[],
  options: PacketOptions,
): Grouped {
  const counters: Grouped = {};
  const queue = expected.flatMap((unit) =>
    finalPackets(unit).map((data): Waiting => ({ data, unit, done: false })),
  );
  let first = 0;
  const skip = (): void => {
    while (first < queue.length && queue[first].done) first++;
  };
  /** The packets of a refused superpacket, which are written one by one now. */
  let replayed: Uint8Array[] = [];
  for (const write of writes) {
    const { packets, isSuperpacket, sound } = readWrite(write.data, options);
    let counted = packets;
    if (replayed.length > 0) {
      const [next] = replayed.splice(0, 1);
      if (packets.length > 1 || !isSamePacket(packets[0], next, options))
        throw new Mismatch(`${hexOf(packets[0])} was written in the place of the refused ${hexOf(next)}`);
    } else {
      skip();
      while (
        first < queue.length &&
        isRefused(queue[first].unit) &&
        !isNext(queue[first], packets[0], options)
      ) {
        dropUnit(queue, queue[first].unit, counters);
        skip();
      }
      const joined = match(queue, first, packets, options);
      const [unit] = joined;
      if (isWhole(unit, packets[0])) counted = finalPackets(unit);
      if (joined.size > 1 && !sound)
        throw new Mismatch(`a wrong IPv4 checksum of a joined superpacket: ${hexOf(packets[0])}`);
      if (write.errno !== 0 && write.errno !== EAGAIN) {
        add(counters, 'rx_superpackets_replayed', 1);
        if (isRefused(unit)) add(counters, 'rx_drop_unsegmentable', 1);
        else replayed = packets;
        continue;
      }
      if (isSuperpacket && joined.size > 1 && write.errno === 0)
        add(counters, 'rx_coalesced', packets.length);
    }
    if (write.errno === EAGAIN) {
      add(counters, 'rx_drop_device_full', counted.length);
    } else {
      add(counters, 'rx_packets', counted.length);
      for (const { length } of counted) add(counters, 'rx_bytes', length);
    }
  }
  if (replayed.length > 0)
    throw new Mismatch(`a refused packet was not written again: ${hexOf(replayed[0])}`);
  skip();
  while (first < queue.length && isRefused(queue[first].unit)) {
    dropUnit(queue, queue[first].unit, counters);
    skip();
  }
  if (first < queue.length) throw new Mismatch(`a packet is missing: ${hexOf(queue[first].data)}`);
  return counters;
}

/** A packet that the pods must see. */
interface Waiting {
  data: Uint8Array;
  unit: ExpectedPacket;
  done: boolean;
}

/** Returns true for a superpacket whose headers are too long to segment it; a device may still accept it whole. */
function isRefused({ gsoSize, inner }: ExpectedPacket): boolean {
  return gsoSize > 0 && inner.payload > LONGEST_HEADERS;
}

/** Returns true for a large packet with a complete checksum, which the device accepts as it is. */
function isWhole({ gsoSize, partial, data }: ExpectedPacket, packet: Uint8Array): boolean {
  return gsoSize > 0 && !partial && equalBytes(data, packet);
}

function isNext({ data, unit }: Waiting, packet: Uint8Array, options: PacketOptions): boolean {
  return isWhole(unit, packet) || isSamePacket(data, packet, options);
}

function dropUnit(queue: readonly Waiting[], unit: ExpectedPacket, counters: Grouped): void {
  for (const waiting of queue) if (waiting.unit === unit) waiting.done = true;
  add(counters, 'rx_drop_unsegmentable', 1);
}

/** Finds the packets of one write in the queue, whose head is at `first`; returns what they were received as. */
function match(
  queue: readonly Waiting[],
  first: number,
  packets: readonly Uint8Array[],
  options: PacketOptions,
): Set<ExpectedPacket> {
  if (first === queue.length) throw new Mismatch(`an unexpected packet: ${hexOf(packets[0])}`);
  const { unit } = queue[first];
  if (isWhole(unit, packets[0])) {
    for (const waiting of queue) if (waiting.unit === unit) waiting.done = true;
    return new Set([unit]);
  }
  const joined = new Set<ExpectedPacket>();
  let at = first;
  for (const [index, packet] of packets.entries()) {
    for (; at < queue.length && (queue[at].done || !isSamePacket(queue[at].data, packet, options)); at++) {
      if (index === 0)
        throw new Mismatch(`a packet differs: ${hexOf(packet)} instead of ${hexOf(queue[at].data)}`);
      mayOvertake(queue[at], packet, options);
    }
    if (at === queue.length) throw new Mismatch(`a segment belongs to no packet: ${hexOf(packet)}`);
    queue[at].done = true;
    joined.add(queue[at].unit);
    at++;
  }
  return joined;
}

function mayOvertake(overtaken: Waiting, packet: Uint8Array, options: PacketOptions): void {
  if (overtaken.done) return;
  const link = options.tunnel === 'vxlan' ? ETHERNET : 0;
  const inner = parse(overtaken.data, link);
  const flow = flowOf(overtaken.data, inner);
  if (flow === undefined)
    throw new Mismatch(`a fragment or an unknown packet was overtaken: ${hexOf(overtaken.data)}`);
  if (flow !== flowOf(packet, parse(packet, link))) return;
  const isPureAck = inner.protocol === TCP && inner.payload === inner.end;
  if (!isPureAck) throw new Mismatch(`a packet of its own flow was overtaken: ${hexOf(overtaken.data)}`);
}

/**
 * Returns true for equal packets. At level `gso` they may have been joined and cut again. Then a checksum may have the
 * other form of zero. With DF the identification has no meaning (RFC 6864).
 */
function isSamePacket(a: Uint8Array, b: Uint8Array, options: PacketOptions): boolean {
  if (equalBytes(a, b)) return true;
  if (a.length !== b.length || options.level === 'none') return false;
  const inner = parse(a, options.tunnel === 'vxlan' ? ETHERNET : 0);
  if (inner.l4 === 0) return false;
  return equalBytes(withoutForm(a, inner), withoutForm(b, inner));
}

function withoutForm(packet: Uint8Array, { v6, ip, l4, checksum }: Inner): Uint8Array {
  const copy = packet.slice();
  if (u16(copy, checksum) === 0xffff) put16(copy, checksum, 0);
  if (v6 || sum16(copy, ip, l4) !== 0xffff) return copy;
  put16(copy, ip + 10, 0);
  if ((copy[ip + 6] & 0x40) !== 0) put16(copy, ip + 4, 0);
  return copy;
}

/** Returns the packets that the kernel makes of a write (include/linux/virtio_net.h, virtio_net_hdr_to_skb). */
function readWrite(
  data: Uint8Array,
  options: PacketOptions,
): { packets: Uint8Array[]; isSuperpacket: boolean; sound: boolean } {
  if (options.level === 'none') return { packets: [data], isSuperpacket: false, sound: true };
  const [flags, type] = data;
  const field = (at: number): number => data[at] + 256 * data[at + 1];
  const [headers, size, start, offset] = [field(2), field(4), field(6), field(8)];
  const packet = data.slice(10);
  if (flags > 1) throw new Mismatch(`virtio-net flags ${flags}`);
  if (flags === 0) {
    if (type + headers + size + start + offset !== 0)
      throw new Mismatch(`virtio-net header ${hexOf(data.subarray(0, 10))}`);
    return { packets: [packet], isSuperpacket: false, sound: true };
  }
  const inner = parse(packet, options.tunnel === 'vxlan' ? ETHERNET : 0);
  if (
    inner.l4 !== start ||
    inner.checksum !== start + offset ||
    u16(packet, inner.checksum) !== pseudoSum(packet, inner)
  ) {
    throw new Mismatch(`checksum start ${start} and offset ${offset} of ${hexOf(packet)}`);
  }
  if (type === 0) {
    if (headers + size !== 0) throw new Mismatch(`virtio-net header ${hexOf(data.subarray(0, 10))}`);
    writeL4Checksum(packet, inner);
    return { packets: [packet], isSuperpacket: false, sound: true };
  }
  if (type !== gsoTypeOf(inner) || headers !== inner.payload || size === 0)
    throw new Mismatch(`virtio-net header ${hexOf(data.subarray(0, 10))} of ${hexOf(packet)}`);
  if (inner.protocol !== TCP && !options.uso) throw new Mismatch('a UDP superpacket without USO');
  const sound = inner.v6 || sum16(packet, inner.ip, inner.l4) === 0xffff;
  return { packets: segments(packet, inner, size), isSuperpacket: true, sound };
}

/** VIRTIO_NET_HDR_GSO_TCPV4, _TCPV6 and _UDP_L4. */
function gsoTypeOf({ protocol, v6 }: Inner): number {
  if (protocol !== TCP) return 5;
  return v6 ? 4 : 1;
}
