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
import { hasDontFragment, IPV4_MIN_LENGTH, ipv4Identification, setIpv4TotalLength } from '../wire/ipv4.js';
import { IPV6_LENGTH, setIpv6PayloadLength } from '../wire/ipv6.js';
import { IPPROTO_TCP, setTcpFlags, TCP_ACK, TCP_ECE, TCP_PSH, tcpFlags, tcpSequence } from '../wire/tcp.js';
import { setUdpLength, udpLength } from '../wire/udp.js';
import { Layer4 } from './layer4.js';

/** UDP_MAX_SEGMENTS of the first kernels; the kernel's own GRO has no higher limit for TCP (MAX_SKB_FRAGS). */
const MAX_SEGMENTS = 64;
/** An IP packet's largest total length. */
const MAX_LENGTH = 65535;
/** Open flows at a time: a power of two; two flows in one place only close each other's trains. */
const FLOWS = 256;

const NONE = -1;

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

  private readonly view: DataView;
  private readonly checksum: Checksum;
  private readonly layer4 = new Layer4();
  private readonly udp: boolean;

  /** For batches of up to `packets`; `udp` says whether the device takes UDP superpackets (USO). */
  constructor(arena: Arena, checksum: Checksum, packets: number, udp: boolean) {
    this.view = arena.view;
    this.checksum = checksum;
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

  /** Makes trains of all packets of the batch. */
  run(batch: PacketBatch): void {
    this.count = 0;
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
    if (!layer4.locate(view, frame, batch.length[index])) {
      // It may be a fragment: of which flow its header does not tell, and no datagram may overtake it.
      this.start(index);
      this.closeAll();
      return;
    }
    const place = this.placeOfFlow();
    if (layer4.protocol === IPPROTO_TCP) this.takeTcp(batch, index, place);
    else this.takeUdp(batch, index, place);
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
    else this.startOpen(index, batch.offset[index], place, payload);
    const now = joins ? train : this.count - 1;
    this.sequence[now] = (sequence + payload) | 0;
    if (payload < this.segmentSize[now] || (flags & TCP_PSH) !== 0) this.close(place);
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
    } else {
      this.startOpen(index, batch.offset[index], place, payload);
    }
  }

  /** A train of one packet that nothing joins. */
  private start(index: number): void {
    const train = this.count++;
    this.head[train] = index;
    this.tail[train] = index;
    this.segments[train] = 1;
  }

  /** A train of one packet that its flow's next may join. */
  private startOpen(index: number, frame: number, place: number, payload: number): void {
    const { layer4 } = this;
    const train = this.count;
    this.start(index);
    this.headers[index] = this.headersOf(frame);
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

  /** Bytes of the located packet's headers; `frame` is its first byte. */
  private headersOf(frame: number): number {
    return this.layer4.header + this.layer4.headerLength - frame;
  }

  private openTrain(place: number): number {
    return this.openedIn[place] === this.runs ? this.open[place] : NONE;
  }

  private close(place: number): void {
    this.openedIn[place] = 0;
  }

  private closeAll(): void {
    this.runs++;
  }

  /** Where the open train of the located packet's flow is looked for. */
  private placeOfFlow(): number {
    const { view, layer4 } = this;
    let hash = view.getInt32(layer4.header) ^ layer4.protocol;
    const end = layer4.addresses + layer4.addressBytes;
    for (let at = layer4.addresses; at < end; at += 4) hash = Math.imul(hash ^ view.getInt32(at), 0x85ebca6b);
    return (hash ^ (hash >>> 15)) & (FLOWS - 1);
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
    const sum =
      checksum.pseudoHeader(layer4.addresses, layer4.addressBytes, layer4.protocol, layer4.length) +
      checksum.partial(layer4.header, layer4.length);
    return Checksum.finish(sum) === 0;
  }

  private mayJoin(batch: PacketBatch, train: number, index: number, payload: number): boolean {
    const head = this.head[train];
    if (payload > this.segmentSize[train] || this.segments[train] >= MAX_SEGMENTS) return false;
    if (
      this.length[train] + payload > MAX_LENGTH ||
      this.headersOf(batch.offset[index]) !== this.headers[head]
    )
      return false;
    return this.sameHeaders(batch.offset[head], batch.offset[index], this.segments[train]);
  }

  /**
   * True when everything that must be equal in the segments of a train is: MAC addresses, VLAN tag, DSCP and ECN, flow
   * label, DF, TTL, addresses, ports, and for TCP acknowledgment, header length, flags but PSH, window, urgent pointer,
   * options. `a` is the train's first frame, `b` the located one.
   */
  private sameHeaders(a: number, b: number, segments: number): boolean {
    const { view, layer4 } = this;
    const ip = layer4.ip - b;
    for (let at = 0; at < ip; at += 2) if (view.getUint16(a + at) !== view.getUint16(b + at)) return false;
    if (layer4.isIpv6) {
      // Version, traffic class, flow label; next header and hop limit.
      if (view.getInt32(a + ip) !== view.getInt32(b + ip)) return false;
      if (view.getUint16(a + ip + 6) !== view.getUint16(b + ip + 6)) return false;
    } else {
      // Version, IHL, TOS; flags and offset, TTL, protocol.
      if (view.getUint16(a + ip) !== view.getUint16(b + ip)) return false;
      if (view.getInt32(a + ip + 6) !== view.getInt32(b + ip + 6)) return false;
      if (!hasDontFragment(view, b + ip)) {
        // The kernel will number the segments on from the first (RFC 6864 gives the number a meaning without DF).
        const expected = (ipv4Identification(view, a + ip) + segments) & 0xffff;
        if (ipv4Identification(view, b + ip) !== expected) return false;
      }
    }
    const transport = layer4.header - b;
    for (let at = layer4.addresses - b; at < transport + 4; at += 4) {
      if (view.getInt32(a + at) !== view.getInt32(b + at)) return false;
    }
    return layer4.protocol !== IPPROTO_TCP || this.sameTcp(a + transport, b + transport);
  }

  private sameTcp(a: number, b: number): boolean {
    const { view, layer4 } = this;
    if (view.getInt32(a + 8) !== view.getInt32(b + 8)) return false;
    const psh = TCP_PSH << 16;
    if ((view.getInt32(a + 12) & ~psh) !== (view.getInt32(b + 12) & ~psh)) return false;
    for (let at = 18; at < layer4.headerLength; at += 2) {
      if (view.getUint16(a + at) !== view.getUint16(b + at)) return false;
    }
    return true;
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
