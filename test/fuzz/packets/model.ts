/**
 * What the dataplane must do with a packet, written from the RFCs and from docs/operations.md: which packets leave, to
 * which address, and which counters rise. The model handles one packet after the other and keeps no tables of its own.
 */

import type { Message } from './kernel.js';
import { OWN_ADDRESS, OWN_MAC, type PacketOptions, PEERS } from './options.js';
import { OutboundQueue } from './queue.js';
import {
  changeIpv4Byte,
  ETHERNET,
  equalBytes,
  hasPartialChecksum,
  hexOf,
  type Inner,
  LONGEST_HEADERS,
  parse,
  put16,
  segmentCount,
  segments,
  sum16,
  TCP,
  tosOf,
  u16,
  u32,
  writeIpv4Checksum,
  writeL4Checksum,
} from './wire.js';

/** ICMP errors about one batch and of one case, and bytes of such an error (RFC 1812 section 4.3.2.3). */
const MAX_REPLIES = 16;
const MAX_CASE_REPLIES = 50;
const LONGEST_REPLY = 576;
/** TCP_MIN_GSO_SIZE. */
const MIN_TCP_SEGMENT = 8;
/** Datagrams of one message. */
const MAX_RUN = 128;
/** VIRTIO_NET_HDR_GSO_UDP_L4. */
const UDP_L4 = 5;
const EAGAIN = 11;
const EINTR = 4;

/** A datagram that must leave through the underlay. */
export interface ExpectedDatagram {
  address: Uint8Array;
  tos: number;
  data: Uint8Array;
}

/** A packet or superpacket that must reach the device. */
export interface ExpectedPacket {
  data: Uint8Array;
  inner: Inner;
  /** Payload of each segment; 0 for a single packet. */
  gsoSize: number;
  /** Whether the checksum field holds only the pseudo-header's sum. */
  partial: boolean;
}

interface Figures {
  txPackets: number;
  txBytes: number;
  rxPackets: number;
  rxBytes: number;
}

export class Model {
  /** Counters of this case, without those that depend on how packets are grouped. */
  counters: Record<string, number> = {};
  datagrams: ExpectedDatagram[] = [];
  packets: ExpectedPacket[] = [];
  /** Per peer's address: its figures since the start. */
  readonly figures = new Map<string, Figures>();
  /** ICMP errors of the batch, and of the case. */
  private replies = 0;
  private caseReplies = 0;
  private readonly queue: OutboundQueue;
  private readonly options: PacketOptions;
  private readonly link: number;
  /** MAC → address. */
  private readonly fdb = new Map<string, Uint8Array>();
  private readonly learned = new Map<string, Uint8Array>();

  constructor(options: PacketOptions) {
    this.options = options;
    this.link = options.tunnel === 'vxlan' ? ETHERNET : 0;
    this.queue = new OutboundQueue(options.level === 'gso', this.link, {
      send: (frame, gsoSize) => this.send(frame, gsoSize),
      count: (name) => this.count(name),
    });
    for (const peer of PEERS) {
      const address = options.v6 ? peer.v6 : peer.v4;
      this.fdb.set(hexOf(peer.mac), address);
      this.figures.set(hexOf(address), { txPackets: 0, txBytes: 0, rxPackets: 0, rxBytes: 0 });
    }
  }

  /** Forgets the expectations of the last case. */
  next(): void {
    this.counters = {};
    this.datagrams = [];
    this.packets = [];
    this.caseReplies = 0;
  }

  /**
   * Expects what reads of the device (virtio-net header at level gso, and frame; or an errno) and messages of the underlay
   * cause. The directions take turns; the messages fit into the first.
   */
  forward(reads: readonly (Uint8Array | number)[], messages: readonly Message[]): void {
    const waiting = [...reads];
    this.outbound(waiting);
    this.inbound(messages);
    while (waiting.length > 0 || !this.queue.isEmpty) this.outbound(waiting);
  }

  /** Expects a round from the device; takes its reads out of `waiting`. */
  private outbound(waiting: (Uint8Array | number)[]): void {
    this.replies = 0;
    this.queue.begin();
    while (waiting.length > 0 && this.queue.hasRoom) {
      const [read] = waiting.splice(0, 1);
      if (typeof read !== 'number') {
        this.read(read);
        continue;
      }
      if (read !== EAGAIN && read !== EINTR) this.count('tx_receive_errors');
      break;
    }
    this.queue.end();
  }

  private inbound(messages: readonly Message[]): void {
    this.replies = 0;
    const capacity = this.options.level === 'gso' ? 16 * MAX_RUN : 64;
    let used = 0;
    for (const message of messages) used = this.message(message, used, capacity);
  }

  private count(name: string, by = 1): void {
    this.counters[name] = (this.counters[name] ?? 0) + by;
  }

  // From the device.

  private read(read: Uint8Array): void {
    if (this.options.level === 'none') {
      this.queue.add(read.slice(), 0, read.length);
      return;
    }
    const [flags, type] = read;
    const little = (at: number): number => read[at] + 256 * read[at + 1];
    const frame = read.slice(10);
    const gsoSize = type === 0 ? 0 : little(4);
    if (type !== 0 && gsoSize < (type === UDP_L4 ? 1 : MIN_TCP_SEGMENT)) {
      this.count('tx_drop_unsegmentable');
      this.queue.skip(read.length);
      return;
    }
    const start = little(6);
    const field = start + little(8);
    if (type === 0 && (flags & 1) !== 0 && field + 2 <= frame.length) {
      const checksum = 0xffff - sum16(frame, start, frame.length);
      put16(frame, field, checksum === 0 ? 0xffff : checksum);
    }
    this.queue.add(frame, gsoSize, read.length);
  }

  private send(frame: Uint8Array, gsoSize: number): void {
    if (this.options.tunnel === 'vxlan') this.encapsulate(frame, gsoSize);
    else this.route(frame, gsoSize);
  }

  /** RFC 7348 section 4.1: the frame goes to the VTEP of its destination MAC. */
  private encapsulate(frame: Uint8Array, gsoSize: number): void {
    if (frame.length < ETHERNET) {
      this.count('tx_drop_runt');
      return;
    }
    const mac = hexOf(frame.subarray(0, 6));
    const address = this.fdb.get(mac) ?? this.learned.get(mac);
    if (address === undefined) {
      this.count((frame[0] & 1) !== 0 ? 'tx_drop_multicast' : 'tx_drop_unknown_mac');
      return;
    }
    const { vni } = this.options;
    const header = Uint8Array.of(8, 0, 0, 0, vni >> 16, (vni >> 8) & 255, vni & 255, 0);
    const inner = parse(frame, ETHERNET);
    // RFC 6040 section 4.1: the outer ECN field is that of the inner header.
    const tos = inner.ip < 0 ? 0 : tosOf(frame, inner.ip, inner.v6) & 3;
    this.transmit(frame, inner, gsoSize, address, tos, header);
  }

  /** The udp backend is an IPv4 router with a table of subnets. */
  private route(packet: Uint8Array, gsoSize: number): void {
    const malformed = malformation(packet);
    if (malformed !== undefined) {
      this.count(`tx_drop_${malformed}`);
      return;
    }
    const address = peerOf(packet, 16);
    const destination = u32(packet, 16);
    if (
      address === undefined &&
      ((destination >= 0xe0000000 && destination < 0xf0000000) || destination === 0xffffffff)
    ) {
      this.count('tx_drop_multicast');
      return;
    }
    if (address === undefined || packet[8] <= 1) {
      const [type, reason] = address === undefined ? [3, 'tx_drop_no_route'] : [11, 'tx_drop_ttl'];
      this.count(String(reason));
      const error = this.icmpError(packet, Number(type));
      if (error === undefined) return;
      this.count('tx_icmp_sent');
      this.packets.push({ data: error, inner: parse(error, 0), gsoSize: 0, partial: false });
      return;
    }
    changeIpv4Byte(packet, 0, 8, packet[8] - 1);
    this.transmit(packet, parse(packet, 0), gsoSize, address, packet[1] & 3, new Uint8Array(0));
  }

  /** Expects one datagram, or one for each segment of a superpacket. */
  private transmit(
    packet: Uint8Array,
    inner: Inner,
    gsoSize: number,
    address: Uint8Array,
    tos: number,
    header: Uint8Array,
  ): void {
    if (gsoSize > 0 && (inner.l4 === 0 || inner.payload > LONGEST_HEADERS)) {
      this.count('tx_drop_unsegmentable');
      return;
    }
    const parts = gsoSize > 0 ? segments(packet, inner, gsoSize) : [packet];
    for (const part of parts) {
      const data = new Uint8Array(header.length + part.length);
      data.set(header);
      data.set(part, header.length);
      this.datagrams.push({ address, tos, data });
    }
    const figures = this.figures.get(hexOf(address));
    if (figures === undefined) return;
    figures.txPackets += parts.length;
    for (const part of parts) figures.txBytes += part.length;
  }

  /** Returns an ICMP error about an IPv4 packet, unless RFC 1812 section 4.3.2.7 forbids it. */
  private icmpError(packet: Uint8Array, type: number): Uint8Array | undefined {
    const source = packet[12];
    const isHost = source !== 0 && source !== 127 && source < 224;
    if (!isHost || packet[16] >= 224 || (u16(packet, 6) & 0x1fff) !== 0) return undefined;
    const header = (packet[0] & 15) * 4;
    // Errors, and messages that may be errors, cause no error; nor does ICMP without a type.
    if (packet[9] === 1) {
      const about = packet[header];
      if (header >= packet.length || [3, 4, 5, 11, 12].includes(about) || about > 18) return undefined;
    }
    if (this.replies === MAX_REPLIES || this.caseReplies === MAX_CASE_REPLIES) return undefined;
    this.replies++;
    this.caseReplies++;
    const quote = packet.subarray(0, LONGEST_REPLY - 28);
    const error = new Uint8Array(28 + quote.length);
    error.set([0x45, 0xc0, 0, 0, 0, 0, 0x40, 0, 64, 1]);
    put16(error, 2, error.length);
    put16(error, 12, OWN_ADDRESS >>> 16);
    put16(error, 14, OWN_ADDRESS & 0xffff);
    error.set(packet.subarray(12, 16), 16);
    writeIpv4Checksum(error, 0);
    error[20] = type;
    error.set(quote, 28);
    put16(error, 22, 0xffff - sum16(error, 20, error.length));
    return error;
  }

  // From the underlay.

  /** Returns how many packets of the batch's `capacity` are used. */
  private message(message: Message, used: number, capacity: number): number {
    const { data, gro, source, tos } = message;
    if (data.length > 65536) {
      this.count('rx_drop_truncated');
      return used;
    }
    const isRun = gro > 0 && gro < data.length;
    if (isRun && used < capacity && this.isSuperpacket(data)) {
      if (segmentCount(parse(data.subarray(8), ETHERNET), gro) > MAX_RUN) {
        this.count('rx_drop_unsegmentable');
        return used;
      }
      this.count('rx_superpackets');
      this.receive(data.slice(), gro, source, tos);
      return used + 1;
    }
    const size = isRun ? gro : data.length;
    const parts = data.length === 0 ? 1 : Math.ceil(data.length / size);
    const accepted = Math.min(parts, MAX_RUN, capacity - used);
    if (accepted < parts) this.count('rx_drop_truncated', parts - accepted);
    for (let index = 0; index < accepted; index++) {
      this.receive(data.slice(index * size, (index + 1) * size), 0, source, tos);
    }
    return used + accepted;
  }

  /** Returns whether the message is one superpacket of a kernel peer: its inner packet spans all of it. */
  private isSuperpacket(data: Uint8Array): boolean {
    if (this.options.tunnel !== 'vxlan') return false;
    const frame = data.subarray(8);
    const inner = parse(frame, ETHERNET);
    return inner.l4 > 0 && inner.end === frame.length;
  }

  private receive(data: Uint8Array, gsoSize: number, source: Uint8Array, tos: number): void {
    if (this.options.tunnel === 'vxlan') this.decapsulate(data, gsoSize, source, tos & 3);
    else this.routeIn(data, source, tos & 3);
  }

  /** RFC 7348 section 5, and the peer check. */
  private decapsulate(data: Uint8Array, gsoSize: number, source: Uint8Array, ecn: number): void {
    if (data.length < 8 + ETHERNET) return this.count('rx_drop_runt');
    if ((data[0] & 8) === 0) return this.count('rx_drop_no_vni_flag');
    if (Math.floor(u32(data, 4) / 256) !== this.options.vni) return this.count('rx_drop_unknown_vni');
    const frame = data.slice(8);
    const refusal = this.refusal(frame, source);
    if (refusal !== undefined) return this.count(refusal);
    const ours = equalBytes(frame.subarray(0, 6), OWN_MAC) || (frame[0] & 1) !== 0;
    if (!ours && !this.options.learning) return this.count('rx_drop_not_our_mac');
    this.countHeader(data);
    const inner = parse(frame, ETHERNET);
    if (!combineEcn(frame, inner, ecn)) return this.count('rx_drop_ecn');
    const owner = this.fdb.get(hexOf(frame.subarray(6, 12))) ?? source;
    const size = gsoSize > 0 ? gsoSize : this.unstatedSize(inner);
    this.received(owner, size > 0 ? segments(frame, inner, size) : [frame]);
    this.deliver(frame, inner, gsoSize);
  }

  /** Returns the counter of a frame whose source the peer check refuses; learns a source of no lease. */
  private refusal(frame: Uint8Array, source: Uint8Array): string | undefined {
    const { peerCheck, learning } = this.options;
    const mac = hexOf(frame.subarray(6, 12));
    const leased = this.fdb.get(mac);
    if (leased !== undefined && (peerCheck !== 'strict' || equalBytes(leased, source))) return undefined;
    if (peerCheck === 'strict' && !this.figures.has(hexOf(source))) return 'rx_drop_unknown_vtep';
    if (leased !== undefined) return 'rx_drop_wrong_source_mac';
    if (learning) {
      // 0.0.0.0 is no address that a frame could be sent to.
      const isAddress = u32(source, 0) !== 0;
      if ((frame[6] & 1) === 0 && isAddress) this.learned.set(mac, source);
      else if ((frame[6] & 1) === 0) this.learned.delete(mac);
      return undefined;
    }
    return peerCheck === 'off' ? undefined : 'rx_drop_wrong_source_mac';
  }

  /** Counts bits of a VXLAN header that have no meaning here. */
  private countHeader(data: Uint8Array): void {
    const group = (data[0] & 0x80) !== 0;
    if (group) this.count('rx_group_policy');
    const known = group ? [0x88, 0x48, 0xff, 0xff] : [8, 0, 0, 0];
    if (known.some((mask, index) => (data[index] & ~mask) !== 0) || data[7] !== 0)
      this.count('rx_reserved_bits');
  }

  private routeIn(packet: Uint8Array, source: Uint8Array, ecn: number): void {
    const malformed = malformation(packet);
    if (malformed !== undefined) return this.count(`rx_drop_${malformed}`);
    const { peerCheck } = this.options;
    const owner = peerOf(packet, 12);
    if (u32(packet, 12) === OWN_ADDRESS) return this.count('rx_drop_wrong_source');
    const right = owner !== undefined && (peerCheck === 'mac' || equalBytes(owner, source));
    if (peerCheck !== 'off' && !right) {
      const known = peerCheck === 'mac' || this.figures.has(hexOf(source));
      return this.count(known ? 'rx_drop_wrong_source' : 'rx_drop_unknown_vtep');
    }
    if (packet[8] <= 1) {
      this.count('rx_drop_ttl');
      const error = owner === undefined ? undefined : this.icmpError(packet, 11);
      if (error === undefined || owner === undefined) return;
      this.count('rx_icmp_sent');
      this.datagrams.push({ address: owner, tos: 0, data: error });
      return;
    }
    if (!combineEcn(packet, { ...parse(packet, 0), ip: 0 }, ecn)) return this.count('rx_drop_ecn');
    changeIpv4Byte(packet, 0, 8, packet[8] - 1);
    this.received(peerCheck === 'off' || owner === undefined ? source : owner, [packet]);
    this.deliver(packet, parse(packet, 0), 0);
  }

  private received(address: Uint8Array, packets: readonly Uint8Array[]): void {
    const figures = this.figures.get(hexOf(address));
    if (figures === undefined) return;
    figures.rxPackets += packets.length;
    for (const { length } of packets) figures.rxBytes += length;
  }

  /** Returns the segment size of a TCP packet above the pods' MTU, whose sender did not state it; 0 for any other. */
  private unstatedSize({ l4, protocol, end, payload }: Inner): number {
    const largest = this.options.podMtu + this.link;
    const longest = Math.min(LONGEST_HEADERS, largest - MIN_TCP_SEGMENT);
    return l4 > 0 && protocol === TCP && end > largest && payload <= longest ? largest - payload : 0;
  }

  /** Expects a packet at the device. A partial checksum, and a TCP packet above the pods' MTU, come from a kernel peer. */
  private deliver(data: Uint8Array, inner: Inner, gsoSize: number): void {
    const partial = inner.l4 > 0 && hasPartialChecksum(data, inner);
    let size = gsoSize;
    if (partial) {
      this.count('rx_partial_checksums');
      const unstated = this.unstatedSize(inner);
      if (unstated > 0) {
        this.count('rx_superpackets');
        size = unstated;
      }
    }
    this.packets.push({ data, inner, gsoSize: size, partial });
  }
}

/** Returns what keeps a packet from being exactly one IPv4 packet. */
function malformation(packet: Uint8Array): string | undefined {
  if (packet.length < 20) return 'runt';
  if (packet[0] >> 4 !== 4) return 'not_ipv4';
  const header = (packet[0] & 15) * 4;
  return header >= 20 && header <= packet.length && u16(packet, 2) === packet.length
    ? undefined
    : 'bad_length';
}

/** Returns the address of the peer with the longest prefix of the IPv4 address at `at`. */
function peerOf(packet: Uint8Array, at: number): Uint8Array | undefined {
  const bits = (bytes: Uint8Array, from: number, length: number): number =>
    Math.floor(u32(bytes, from) / 2 ** (32 - length));
  return PEERS.filter(
    (peer) => bits(packet, at, peer.prefixLength) === bits(peer.subnet, 0, peer.prefixLength),
  )
    .sort((a, b) => b.prefixLength - a.prefixLength)
    .map((peer) => peer.v4)[0];
}

/** Combines the outer ECN field into the inner header by the table of RFC 6040 section 4.2; returns false for a drop. */
function combineEcn(packet: Uint8Array, { ip, v6 }: Inner, outer: number): boolean {
  if (ip < 0) return true;
  const tos = tosOf(packet, ip, v6);
  const table = [
    // Outer: Not-ECT, ECT(1), ECT(0), CE.
    [0, 0, 0, -1],
    [1, 1, 1, 3],
    [2, 1, 2, 3],
    [3, 3, 3, 3],
  ];
  const ecn = table[tos & 3][outer];
  if (ecn < 0) return false;
  if (ecn === (tos & 3)) return true;
  if (v6) packet[ip + 1] = (packet[ip + 1] & 0xcf) | (ecn << 4);
  else changeIpv4Byte(packet, ip, 1, (tos & 0xfc) | ecn);
  return true;
}

/** Returns the packets that the pods see of an expected packet at last: segments, and complete checksums. */
export function finalPackets({ data, inner, gsoSize, partial }: ExpectedPacket): Uint8Array[] {
  if (gsoSize > 0) return segments(data, inner, gsoSize);
  if (!partial) return [data];
  const packet = data.slice();
  writeL4Checksum(packet, inner);
  return [packet];
}
