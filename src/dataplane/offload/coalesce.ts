/**
 * Receive coalescing: the segments of TCP flows and the datagrams of UDP flows that one burst brought become
 * superpackets again, many flows at once.
 *
 * Vocabulary: an *entry* is what leaves as one write, either one packet or several consecutive packets of a flow. An
 * entry is *open* while the next packet of its flow may join it; a flow has at most one open entry. A *slot* of the
 * flow table refers to the open entry of the flows that hash to it. Entries leave in the order in which their first
 * packets arrived; a packet that joins no entry leaves unchanged, as an entry of its own.
 *
 * The rules are those of the kernel (net/ipv4/tcp_offload.c, udp_offload.c, af_inet.c, net/ipv6/ip6_offload.c) and one
 * more: a packet joins only if its checksum is right, or partial.
 */

import { Checksum } from '../checksum/checksum.js';
import type { Arena } from '../memory/arena.js';
import { CHECKSUM_PARTIAL, type PacketBatch } from '../memory/batch.js';
import type { InnerHeaders } from '../memory/inner-headers.js';
import { flowHash } from '../tunnel/flow-hash.js';
import { IPV4_MIN_LENGTH, ipv4HeaderChecksum, ipv4Identification, setIpv4TotalLength } from '../wire/ipv4.js';
import { IPV6_LENGTH, setIpv6PayloadLength } from '../wire/ipv6.js';
import { IPPROTO_TCP, setTcpFlags, TCP_ACK, TCP_ECE, TCP_PSH, tcpFlags, tcpSequence } from '../wire/tcp.js';
import { setUdpLength, udpLength } from '../wire/udp.js';
import type { PartialChecksum } from './partial-checksum.js';
import { isSameFlow, isSameLength } from './same-flow.js';

/** UDP_MAX_SEGMENTS of the first kernels; the kernel's own GRO has no higher limit for TCP (MAX_SKB_FRAGS). */
const MAX_SEGMENTS = 64;
/** An IP packet's largest total length. */
const MAX_LENGTH = 65535;
/** Slots of the flow table, a power of two. Two flows in one slot only close each other's entries. */
const SLOTS = 256;

const NONE = -1;

export interface CoalescerOptions {
  /** The largest batch. */
  maxBatch: number;
  /** Whether the device takes UDP superpackets (USO). */
  udp: boolean;
  /** Bytes of link header in front of every packet. */
  linkLength: number;
}

export class Coalescer {
  /** Number of entries that `coalesce` made. */
  count = 0;
  /** Whether UDP datagrams are joined. */
  udp: boolean;
  /** Per packet: the packet behind it in its entry, or NONE. */
  readonly next: Int32Array;
  /** Per entry: its first and last packet, their number, and the layer-4 payload bytes of each packet but the last. */
  readonly head: Int32Array;
  private readonly tail: Int32Array;
  readonly segments: Int32Array;
  private readonly gsoSize: Int32Array;
  /** Per entry: bytes of the IP packet it becomes; for TCP, the sequence number that may follow. */
  private readonly length: Int32Array;
  private readonly sequence: Int32Array;
  /** Per entry: the sum of the pseudo-header of each packet but the last. */
  private readonly pseudoHeader: Int32Array;
  /** Per slot: the open entry, valid while `slotGeneration` equals `generation`. */
  private readonly slotEntry = new Int32Array(SLOTS);
  private readonly slotGeneration = new Int32Array(SLOTS);
  private generation = 0;

  /** The slot of the entry that was opened or joined last. */
  private latestSlot = 0;

  private readonly view: DataView;
  private readonly checksum: Checksum;
  private readonly partialChecksum: PartialChecksum;
  private readonly linkLength: number;

  constructor(
    arena: Arena,
    checksum: Checksum,
    partialChecksum: PartialChecksum,
    { maxBatch, udp, linkLength }: CoalescerOptions,
  ) {
    this.view = arena.view;
    this.checksum = checksum;
    this.partialChecksum = partialChecksum;
    this.udp = udp;
    this.linkLength = linkLength;
    this.next = new Int32Array(maxBatch);
    this.head = new Int32Array(maxBatch);
    this.tail = new Int32Array(maxBatch);
    this.segments = new Int32Array(maxBatch);
    this.gsoSize = new Int32Array(maxBatch);
    this.length = new Int32Array(maxBatch);
    this.sequence = new Int32Array(maxBatch);
    this.pseudoHeader = new Int32Array(maxBatch);
  }

  /** Makes entries of all packets of the batch. Marks the packets whose checksum is partial. */
  coalesce(batch: PacketBatch): void {
    this.count = 0;
    this.closeAll();
    for (let i = 0; i < batch.count; i++) this.add(batch, i);
    for (let entry = 0; entry < this.count; entry++) {
      if (this.segments[entry] > 1) this.writeHeaders(batch, entry);
    }
  }

  private add(batch: PacketBatch, index: number): void {
    this.next[index] = NONE;
    if (this.follows(batch, index)) return;
    if (!batch.locate(index, 0, this.linkLength)) {
      // It may be a fragment, whose flow is unknown. No datagram of that flow may overtake it.
      this.addSealed(index);
      this.closeAll();
      return;
    }
    const pseudoHeader = this.partialChecksum.detect(batch, index);
    const headers = batch.headers[index];
    const slot = flowHash(this.view, batch.offset[index], headers) & (SLOTS - 1);
    if (headers.protocol === IPPROTO_TCP) this.addTcp(batch, index, slot, pseudoHeader);
    else this.addUdp(batch, index, slot, pseudoHeader);
  }

  /**
   * The fast path of bulk traffic: joins a packet that is the next full segment of an open entry. Its headers are compared
   * with those of the entry's first packet instead of being parsed. Returns false when the fast path does not apply; no
   * state was changed then.
   */
  private follows(batch: PacketBatch, index: number): boolean {
    const { view } = this;
    const packet = batch.offset[index];
    const length = batch.length[index];
    let slot = this.latestSlot;
    let entry = this.openEntry(slot);
    if (entry === NONE) return false;
    let head = this.head[entry];
    let headers = batch.headers[head];
    if (length < headers.headersLength || batch.gsoSize[index] > 0) return false;
    const ports = view.getInt32(packet + headers.transport);
    if (ports !== view.getInt32(batch.offset[head] + headers.transport)) {
      // Another flow. If its headers have the same layout, this is its slot; if not, the comparison below fails.
      slot = flowHash(view, packet, headers) & (SLOTS - 1);
      entry = this.openEntry(slot);
      if (entry === NONE) return false;
      head = this.head[entry];
      headers = batch.headers[head];
    }
    const first = batch.offset[head];
    const payload = this.gsoSize[entry];
    if (length !== headers.headersLength + payload || !this.hasRoom(entry, payload)) return false;
    if (!isSameFlow(view, headers, first, packet, this.segments[entry])) return false;
    if (!isSameLength(view, headers, first, packet)) return false;
    const isTcp = headers.protocol === IPPROTO_TCP;
    const transport = packet + headers.transport;
    if (isTcp && tcpSequence(view, transport) !== this.sequence[entry]) return false;
    if (!this.hasSoundChecksums(batch, index, first, headers, this.pseudoHeader[entry])) return false;
    this.latestSlot = slot;
    this.join(entry, index, payload);
    if (isTcp) {
      this.sequence[entry] = (this.sequence[entry] + payload) | 0;
      if ((tcpFlags(view, transport) & TCP_PSH) !== 0) this.close(slot);
    }
    return true;
  }

  /** Returns true when the checksums of packet `index` hold, given that its headers match those at `first`. */
  private hasSoundChecksums(
    batch: PacketBatch,
    index: number,
    first: number,
    headers: InnerHeaders,
    pseudoHeader: number,
  ): boolean {
    const { view } = this;
    const packet = batch.offset[index];
    if (!headers.isIpv6) {
      // Of the words under this checksum only the identification may differ; sums are equal modulo 0xffff.
      const ip = packet + headers.ip;
      const firstIp = first + headers.ip;
      const sum = ipv4HeaderChecksum(view, ip) + ipv4Identification(view, ip);
      const firstSum = ipv4HeaderChecksum(view, firstIp) + ipv4Identification(view, firstIp);
      if ((sum - firstSum) % 0xffff !== 0) return false;
    }
    const field = view.getUint16(packet + headers.checksumField);
    if (field === Checksum.pseudoHeaderField(pseudoHeader)) {
      // `detect` makes a superpacket of it.
      if (headers.protocol === IPPROTO_TCP && this.partialChecksum.isLarger(batch.length[index]))
        return false;
      this.partialChecksum.mark(batch, index);
      return true;
    }
    if (field === 0 && headers.protocol !== IPPROTO_TCP) return false;
    const { transport } = headers;
    const sum = this.checksum.sum(packet + transport, batch.length[index] - transport);
    return Checksum.field(pseudoHeader + sum) === 0;
  }

  private addTcp(batch: PacketBatch, index: number, slot: number, pseudoHeader: number): void {
    const { view } = this;
    const headers = batch.headers[index];
    const transport = batch.offset[index] + headers.transport;
    const flags = tcpFlags(view, transport);
    if ((flags & ~(TCP_PSH | TCP_ECE)) !== TCP_ACK) {
      this.addSealed(index);
      this.close(slot);
      return;
    }
    const payload = headers.transport + headers.transportLength - headers.headersLength;
    // A pure ACK travels alone and closes nothing: if data overtakes it, it is merely old.
    if (payload === 0) {
      this.addSealed(index);
      return;
    }
    if (!this.isPlain(batch, index, pseudoHeader)) {
      this.addSealed(index);
      this.close(slot);
      return;
    }
    const sequence = tcpSequence(view, transport);
    const open = this.openEntry(slot);
    const joins =
      open !== NONE && this.sequence[open] === sequence && this.mayJoin(batch, open, index, payload);
    if (joins) this.join(open, index, payload);
    else this.addOpen(batch, index, slot, payload, pseudoHeader);
    const entry = joins ? open : this.count - 1;
    this.sequence[entry] = (sequence + payload) | 0;
    this.latestSlot = slot;
    if (payload < this.gsoSize[entry] || (flags & TCP_PSH) !== 0) this.close(slot);
  }

  private addUdp(batch: PacketBatch, index: number, slot: number, pseudoHeader: number): void {
    const { view } = this;
    const packet = batch.offset[index];
    const headers = batch.headers[index];
    const payload = headers.transport + headers.transportLength - headers.headersLength;
    if (
      !this.udp ||
      payload === 0 ||
      // Without a checksum (RFC 768) the datagram cannot be verified.
      view.getUint16(packet + headers.checksumField) === 0 ||
      // Bytes of the IP packet behind the datagram (RFC 9868) would become payload.
      udpLength(view, packet + headers.transport) !== headers.transportLength ||
      !this.isPlain(batch, index, pseudoHeader)
    ) {
      this.addSealed(index);
      this.close(slot);
      return;
    }
    const open = this.openEntry(slot);
    if (open !== NONE && this.mayJoin(batch, open, index, payload)) {
      this.join(open, index, payload);
      if (payload < this.gsoSize[open]) this.close(slot);
    } else {
      this.addOpen(batch, index, slot, payload, pseudoHeader);
    }
    this.latestSlot = slot;
  }

  /** Adds an entry of one packet that no packet joins. */
  private addSealed(index: number): void {
    const entry = this.count++;
    this.head[entry] = index;
    this.tail[entry] = index;
    this.segments[entry] = 1;
  }

  /** Adds an entry of one packet that the next packet of its flow may join. */
  private addOpen(
    batch: PacketBatch,
    index: number,
    slot: number,
    payload: number,
    pseudoHeader: number,
  ): void {
    const { ip, transport, transportLength } = batch.headers[index];
    const entry = this.count;
    this.addSealed(index);
    this.gsoSize[entry] = payload;
    this.length[entry] = transport - ip + transportLength;
    this.pseudoHeader[entry] = pseudoHeader;
    this.slotEntry[slot] = entry;
    this.slotGeneration[slot] = this.generation;
  }

  private join(entry: number, index: number, payload: number): void {
    this.next[this.tail[entry]] = index;
    this.tail[entry] = index;
    this.segments[entry]++;
    this.length[entry] += payload;
  }

  private openEntry(slot: number): number {
    return this.slotGeneration[slot] === this.generation ? this.slotEntry[slot] : NONE;
  }

  private close(slot: number): void {
    this.slotGeneration[slot] = 0;
  }

  private closeAll(): void {
    this.generation++;
  }

  /** Returns true when a located packet has plain headers, no bytes behind the IP packet, and checksums that hold. */
  private isPlain(batch: PacketBatch, index: number, pseudoHeader: number): boolean {
    const { checksum } = this;
    const packet = batch.offset[index];
    const { isIpv6, ip, transport, transportLength } = batch.headers[index];
    if (batch.gsoSize[index] > 0) return false;
    if (transport - ip !== (isIpv6 ? IPV6_LENGTH : IPV4_MIN_LENGTH)) return false;
    if (transport + transportLength !== batch.length[index]) return false;
    // The superpacket gets a new IPv4 checksum, which would hide a wrong one.
    if (!isIpv6 && Checksum.field(checksum.sum(packet + ip, IPV4_MIN_LENGTH)) !== 0) return false;
    if (batch.checksum[index] === CHECKSUM_PARTIAL) return true;
    return Checksum.field(pseudoHeader + checksum.sum(packet + transport, transportLength)) === 0;
  }

  private mayJoin(batch: PacketBatch, entry: number, index: number, payload: number): boolean {
    const head = this.head[entry];
    const headers = batch.headers[head];
    if (payload > this.gsoSize[entry] || !this.hasRoom(entry, payload)) return false;
    if (batch.headers[index].headersLength !== headers.headersLength) return false;
    return isSameFlow(this.view, headers, batch.offset[head], batch.offset[index], this.segments[entry]);
  }

  private hasRoom(entry: number, payload: number): boolean {
    return this.segments[entry] < MAX_SEGMENTS && this.length[entry] + payload <= MAX_LENGTH;
  }

  /** Removes from an entry's first packet the flag that it got from the last one; its packets leave one by one. */
  separate(batch: PacketBatch, entry: number): void {
    const head = this.head[entry];
    const headers = batch.headers[head];
    if (this.segments[entry] === 1 || headers.protocol !== IPPROTO_TCP) return;
    const transport = batch.offset[head] + headers.transport;
    setTcpFlags(this.view, transport, tcpFlags(this.view, transport) & ~TCP_PSH);
  }

  /** Turns the headers of an entry's first packet into those of the superpacket, with a partial checksum. */
  private writeHeaders(batch: PacketBatch, entry: number): void {
    const { view, checksum } = this;
    const head = this.head[entry];
    const packet = batch.offset[head];
    const headers = batch.headers[head];
    const ip = packet + headers.ip;
    const transport = packet + headers.transport;
    const transportLength = this.length[entry] - (transport - ip);
    if (headers.isIpv6) {
      setIpv6PayloadLength(view, ip, transportLength);
    } else {
      setIpv4TotalLength(view, ip, this.length[entry]);
      checksum.writeIpv4Header(ip);
    }
    if (headers.protocol === IPPROTO_TCP) {
      const last = batch.offset[this.tail[entry]] + headers.transport;
      setTcpFlags(view, transport, tcpFlags(view, transport) | (tcpFlags(view, last) & TCP_PSH));
    } else {
      setUdpLength(view, transport, transportLength);
    }
    const { addresses, addressBytes, protocol, checksumField } = headers;
    const sum = checksum.pseudoHeader(packet + addresses, addressBytes, protocol, transportLength);
    view.setUint16(packet + checksumField, Checksum.pseudoHeaderField(sum));
    batch.checksum[head] = CHECKSUM_PARTIAL;
    batch.gsoSize[head] = this.gsoSize[entry];
  }
}
