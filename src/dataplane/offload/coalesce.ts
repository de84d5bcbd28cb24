/**
 * Receive coalescing: the segments of TCP flows and the datagrams of UDP flows that one burst brought become superpackets
 * again, many flows at once.
 *
 * Vocabulary: a *train* is what leaves as one write: one packet, or several of a flow, each behind the other. A train is
 * *open* while the next packet of its flow may join it; a flow has at most one open train. Trains leave in the order in
 * which their first packets came; a packet that joins nothing is a train of its own and leaves as it came.
 *
 * The rules are those of the kernel (net/ipv4/tcp_offload.c, udp_offload.c, af_inet.c, net/ipv6/ip6_offload.c) with one
 * more: a packet joins only if its checksum is right, or was left to be finished by a link that loses nothing.
 */

import { Checksum } from '../checksum/checksum.js';
import type { Arena } from '../memory/arena.js';
import { CHECKSUM_PARTIAL, type PacketBatch } from '../memory/batch.js';
import { hashLocated } from '../tunnel/flow-hash.js';
import { Layer4 } from '../wire/inner-headers.js';
import { IPV4_MIN_LENGTH, ipv4HeaderChecksum, ipv4Identification, setIpv4TotalLength } from '../wire/ipv4.js';
import { IPV6_LENGTH, setIpv6PayloadLength } from '../wire/ipv6.js';
import { IPPROTO_TCP, setTcpFlags, TCP_ACK, TCP_ECE, TCP_PSH, tcpFlags, tcpSequence } from '../wire/tcp.js';
import { setUdpLength, udpLength } from '../wire/udp.js';
import type { PartialChecksum } from './partial-checksum.js';
import { FlowHeaders } from './same-flow.js';

/** UDP_MAX_SEGMENTS of the first kernels; the kernel's own GRO has no higher limit for TCP (MAX_SKB_FRAGS). */
const MAX_SEGMENTS = 64;
/** An IP packet's largest total length. */
const MAX_LENGTH = 65535;
/** Open flows at a time: a power of two; two flows in one place only close each other's trains. */
const FLOWS = 256;

const NONE = -1;

export interface CoalescerOptions {
  /** The largest batch. */
  packets: number;
  /** Whether the device takes UDP superpackets (USO). */
  udp: boolean;
  /** Bytes of link header in front of every packet (see Layer4). */
  linkLength: number;
}

export class Coalescer {
  /** Number of trains `run` made. */
  count = 0;
  /** Per packet: the one behind it in its train, or NONE; and the bytes of its headers. */
  readonly next: Int32Array;
  readonly headers: Int32Array;
  /** Per train: its first and last packet, how many it has, and the layer-4 payload bytes of each but the last. */
  readonly head: Int32Array;
  private readonly tail: Int32Array;
  readonly segments: Int32Array;
  readonly segmentSize: Int32Array;
  /** Per train: bytes of the IP packet it will be; for TCP, the sequence number that may follow. */
  private readonly length: Int32Array;
  private readonly sequence: Int32Array;
  /** Per place: the open train, valid when `openedIn` is the number of this run. */
  private readonly open = new Int32Array(FLOWS);
  private readonly openedIn = new Int32Array(FLOWS);
  private runs = 0;

  /** The train that the last packet opened or joined, its place, its headers, and their pseudo-header's sum. */
  private latest = NONE;
  private latestPlace = 0;
  private readonly layout = new FlowHeaders();
  private pseudoHeader = 0;

  private readonly view: DataView;
  private readonly checksum: Checksum;
  private readonly partialChecksum: PartialChecksum;
  private readonly layer4: Layer4;
  private readonly udp: boolean;

  constructor(
    arena: Arena,
    checksum: Checksum,
    partialChecksum: PartialChecksum,
    { packets, udp, linkLength }: CoalescerOptions,
  ) {
    this.view = arena.view;
    this.checksum = checksum;
    this.partialChecksum = partialChecksum;
    this.layer4 = new Layer4(linkLength);
    this.udp = udp;
    this.next = new Int32Array(packets);
    this.headers = new Int32Array(packets);
    this.head = new Int32Array(packets);
    this.tail = new Int32Array(packets);
    this.segments = new Int32Array(packets);
    this.segmentSize = new Int32Array(packets);
    this.length = new Int32Array(packets);
    this.sequence = new Int32Array(packets);
  }

  /** Makes trains of all packets of the batch. A packet whose checksum is partial is marked so. */
  run(batch: PacketBatch): void {
    this.count = 0;
    this.latest = NONE;
    this.closeAll();
    for (let i = 0; i < batch.count; i++) this.take(batch, i);
    for (let train = 0; train < this.count; train++) {
      if (this.segments[train] > 1) this.finish(batch, train);
    }
  }

  private take(batch: PacketBatch, index: number): void {
    const { view, layer4 } = this;
    const frame = batch.offset[index];
    this.next[index] = NONE;
    if (this.latest !== NONE && this.follows(batch, index)) return;
    this.latest = NONE;
    if (!layer4.locate(view, frame, batch.length[index])) {
      // It may be a fragment: of which flow its header does not tell, and no datagram may overtake it.
      this.start(index);
      this.closeAll();
      return;
    }
    this.partialChecksum.mark(batch, index, layer4);
    this.layout.take(layer4, frame);
    const place = hashLocated(view, layer4) & (FLOWS - 1);
    if (layer4.protocol === IPPROTO_TCP) this.takeTcp(batch, index, place);
    else this.takeUdp(batch, index, place);
  }

  /**
   * Bulk traffic, where a packet is the next full segment of the train that the one before joined: then its headers need
   * not be located and understood again. True when it has joined. False says nothing, and nothing has happened.
   */
  private follows(batch: PacketBatch, index: number): boolean {
    const { view, latest, layout } = this;
    const head = this.head[latest];
    const first = batch.offset[head];
    const frame = batch.offset[index];
    const payload = this.segmentSize[latest];
    if (batch.length[index] !== layout.length + payload || batch.segmentSize[index] > 0) return false;
    if (!this.hasRoom(latest, payload)) return false;
    if (!layout.match(view, first, frame, this.segments[latest])) return false;
    if (!layout.sameLength(view, first, frame)) return false;
    const isTcp = layout.protocol === IPPROTO_TCP;
    const transport = frame + layout.transport;
    if (isTcp && tcpSequence(view, transport) !== this.sequence[latest]) return false;
    if (!this.isSound(batch, index, first)) return false;
    this.join(latest, index, payload);
    if (isTcp) {
      this.sequence[latest] = (this.sequence[latest] + payload) | 0;
      if ((tcpFlags(view, transport) & TCP_PSH) !== 0) this.close(this.latestPlace);
    }
    return true;
  }

  /** The checksums of packet `index` hold, whose headers match those of the sound one at `first`. */
  private isSound(batch: PacketBatch, index: number, first: number): boolean {
    const { view, layout, pseudoHeader } = this;
    const frame = batch.offset[index];
    if (!layout.isIpv6) {
      // Of the words under this checksum only the identification may differ; sums are equal modulo 0xffff.
      const ip = frame + layout.ip;
      const firstIp = first + layout.ip;
      const sum = ipv4HeaderChecksum(view, ip) + ipv4Identification(view, ip);
      const firstSum = ipv4HeaderChecksum(view, firstIp) + ipv4Identification(view, firstIp);
      if ((sum - firstSum) % 0xffff !== 0) return false;
    }
    const field = view.getUint16(frame + layout.checksumField);
    if (field === Checksum.unfinished(pseudoHeader)) {
      this.partialChecksum.found(batch, index);
      return true;
    }
    if (field === 0 && layout.protocol !== IPPROTO_TCP) return false;
    const length = batch.length[index] - layout.transport;
    return Checksum.finish(pseudoHeader + this.checksum.partial(frame + layout.transport, length)) === 0;
  }

  private takeTcp(batch: PacketBatch, index: number, place: number): void {
    const { view, layer4 } = this;
    const flags = tcpFlags(view, layer4.header);
    if ((flags & ~(TCP_PSH | TCP_ECE)) !== TCP_ACK) {
      this.start(index);
      this.close(place);
      return;
    }
    const payload = layer4.length - layer4.headerLength;
    // A pure ACK travels alone and closes nothing: one that data overtakes is merely old.
    if (payload === 0) {
      this.start(index);
      return;
    }
    if (!this.isPlain(batch, index)) {
      this.start(index);
      this.close(place);
      return;
    }
    const sequence = tcpSequence(view, layer4.header);
    const train = this.openTrain(place);
    const joins =
      train !== NONE && this.sequence[train] === sequence && this.mayJoin(batch, train, index, payload);
    if (joins) this.join(train, index, payload);
    else this.startOpen(index, place, payload);
    const now = joins ? train : this.count - 1;
    this.sequence[now] = (sequence + payload) | 0;
    if (payload < this.segmentSize[now] || (flags & TCP_PSH) !== 0) this.close(place);
    else this.remember(now, place);
  }

  private takeUdp(batch: PacketBatch, index: number, place: number): void {
    const { view, layer4 } = this;
    const payload = layer4.length - layer4.headerLength;
    // Without a checksum (RFC 768) nothing would vouch for the datagram.
    if (
      !this.udp ||
      payload === 0 ||
      view.getUint16(layer4.checksumField) === 0 ||
      // Bytes of the IP packet that are not the datagram's (RFC 9868) would become its payload.
      udpLength(view, layer4.header) !== layer4.length ||
      !this.isPlain(batch, index)
    ) {
      this.start(index);
      this.close(place);
      return;
    }
    const train = this.openTrain(place);
    if (train !== NONE && this.mayJoin(batch, train, index, payload)) {
      this.join(train, index, payload);
      if (payload < this.segmentSize[train]) this.close(place);
      else this.remember(train, place);
    } else {
      this.startOpen(index, place, payload);
      this.remember(this.count - 1, place);
    }
  }

  /** The next packet may be the next of this train, whose last one has the layout and the length of all of them. */
  private remember(train: number, place: number): void {
    this.latest = train;
    this.latestPlace = place;
    this.pseudoHeader = this.partialChecksum.pseudoHeader;
  }

  /** A train of one packet that nothing joins. */
  private start(index: number): void {
    const train = this.count++;
    this.head[train] = index;
    this.tail[train] = index;
    this.segments[train] = 1;
  }

  /** A train of one packet that its flow's next may join. */
  private startOpen(index: number, place: number, payload: number): void {
    const { layer4 } = this;
    const train = this.count;
    this.start(index);
    this.headers[index] = this.layout.length;
    this.segmentSize[train] = payload;
    this.length[train] = layer4.ipLength + layer4.length;
    this.open[place] = train;
    this.openedIn[place] = this.runs;
  }

  private join(train: number, index: number, payload: number): void {
    this.headers[index] = this.headers[this.head[train]];
    this.next[this.tail[train]] = index;
    this.tail[train] = index;
    this.segments[train]++;
    this.length[train] += payload;
  }

  private openTrain(place: number): number {
    return this.openedIn[place] === this.runs ? this.open[place] : NONE;
  }

  private close(place: number): void {
    this.openedIn[place] = 0;
    this.latest = NONE;
  }

  private closeAll(): void {
    this.runs++;
  }

  /** The located packet has plain headers, no bytes behind the IP packet, and checksums that hold. */
  private isPlain(batch: PacketBatch, index: number): boolean {
    const { layer4, checksum } = this;
    const frame = batch.offset[index];
    if (batch.segmentSize[index] > 0) return false;
    if (layer4.ipLength !== (layer4.isIpv6 ? IPV6_LENGTH : IPV4_MIN_LENGTH)) return false;
    if (layer4.header + layer4.length - frame !== batch.length[index]) return false;
    // A train gets a fresh IPv4 checksum, so a wrong one would be hidden.
    if (!layer4.isIpv6 && Checksum.finish(checksum.partial(layer4.ip, IPV4_MIN_LENGTH)) !== 0) return false;
    if (batch.checksum[index] === CHECKSUM_PARTIAL) return true;
    const sum = this.partialChecksum.pseudoHeader + checksum.partial(layer4.header, layer4.length);
    return Checksum.finish(sum) === 0;
  }

  private mayJoin(batch: PacketBatch, train: number, index: number, payload: number): boolean {
    const { layout } = this;
    const head = this.head[train];
    if (payload > this.segmentSize[train] || !this.hasRoom(train, payload)) return false;
    if (layout.length !== this.headers[head]) return false;
    return layout.match(this.view, batch.offset[head], batch.offset[index], this.segments[train]);
  }

  private hasRoom(train: number, payload: number): boolean {
    return this.segments[train] < MAX_SEGMENTS && this.length[train] + payload <= MAX_LENGTH;
  }

  /** Makes the headers of a train's first packet those of the superpacket; its checksum stays to be finished. */
  private finish(batch: PacketBatch, train: number): void {
    const { view, layer4, checksum } = this;
    const head = this.head[train];
    const frame = batch.offset[head];
    layer4.locate(view, frame, batch.length[head]);
    const length = this.length[train] - layer4.ipLength;
    if (layer4.isIpv6) {
      setIpv6PayloadLength(view, layer4.ip, length);
    } else {
      setIpv4TotalLength(view, layer4.ip, this.length[train]);
      checksum.writeIpv4Header(layer4.ip);
    }
    if (layer4.protocol === IPPROTO_TCP) {
      const last = batch.offset[this.tail[train]] + layer4.header - frame;
      setTcpFlags(view, layer4.header, tcpFlags(view, layer4.header) | (tcpFlags(view, last) & TCP_PSH));
    } else {
      setUdpLength(view, layer4.header, length);
    }
    const sum = checksum.pseudoHeader(layer4.addresses, layer4.addressBytes, layer4.protocol, length);
    view.setUint16(layer4.checksumField, Checksum.unfinished(sum));
    batch.checksum[head] = CHECKSUM_PARTIAL;
    batch.segmentSize[head] = this.segmentSize[train];
  }
}
