/**
 * The underlay port: UDP sockets, many packets a system call.
 *
 * On rung `none` every packet is a datagram of its own. On rung `gso` packets travel as trains, which the kernel cuts on
 * the way out (UDP_SEGMENT) and joins on the way in (UDP_GRO, a socket option control has set): equally large datagrams
 * to one VTEP are a train, be they segments of superpackets or packets of their own.
 */

import { MSG_DONTWAIT } from '../../sys/constants.js';
import { EAGAIN, EINTR } from '../../sys/errno.js';
import { recvmmsg } from '../../sys/ffi.js';
import type { Checksum } from '../checksum/checksum.js';
import { COUNTER, type CounterRow } from '../counters.js';
import type { Arena } from '../memory/arena.js';
import type { PacketBatch } from '../memory/batch.js';
import { MAX_HEADERS, Segmenter } from '../offload/segment.js';
import { Layer4 } from '../wire/inner-headers.js';
import { DRAINED, MORE, type Port } from './port.js';
import { ReceiveRing } from './receive-table.js';
import { Trains } from './send-table.js';
import { Sender } from './sender.js';
import type { Names } from './sockaddr-codec.js';

/**
 * Largest UDP payload over IPv4: 65535 less both headers. It holds for the whole train. Over IPv6, whose length is without
 * its header, there would be room for 20 bytes more.
 */
const MAX_TRAIN_BYTES = 65507;
/** UDP_MAX_SEGMENTS (linux/udp.h); 128 since 6.9. */
const MAX_TRAIN = 64;
/** UDP_MAX_SEGMENTS since 6.9: over veth a train arrives as its sender made it. */
const MAX_RECEIVED_TRAIN = 128;
/** Messages and headers between two system calls: a burst of superpackets, or of small packets. */
const TRAINS = 64;
const HEADERS = 768;

export interface UnderlayOptions {
  /** Receives; the port that peers send to. */
  fd: number;
  /** Send, each for its share of the flows: a flow's source port is always the same. */
  senders: readonly number[];
  /** How the sockets' family names a peer. */
  names: Names;
  /** Every VTEP's UDP port. */
  port: number;
  /** Bytes of tunnel header in front of the inner packet, and of link header in front of its IP header. */
  tunnelLength: number;
  linkLength: number;
  /** Whether a peer may be the kernel's own tunnel device, which hands over inner superpackets. */
  kernelPeers: boolean;
  /** Whether trains may be sent. */
  trains: boolean;
  /** Datagrams, or trains, a receive call may bring. */
  receives: number;
  /** The largest batch that will be sent. */
  burst: number;
}

/** A datagram can be as large as UDP allows: a train, or a superpacket of a kernel peer on a virtual link. */
const LARGEST_DATAGRAM = 65536;

export class UdpPort implements Port {
  private readonly arena: Arena;
  private readonly fd: number;
  private readonly tunnelLength: number;
  private readonly counters: CounterRow;
  private readonly ring: ReceiveRing;
  private used: number;
  private readonly sender: Sender;
  private readonly senderCount: number;
  private readonly trains: Trains;
  private readonly segmenter: Segmenter;
  private readonly layer4: Layer4;
  private readonly kernelPeers: boolean;
  private readonly headers: number;
  private readonly headerStride: number;
  private headersUsed = 0;
  /** The sender of each packet of the batch, and the one whose turn it is. */
  private readonly lanes: Uint8Array;
  private lane = 0;
  /** Datagrams of the open train, bytes of each, how many it may have, and whether a shorter one has ended it. */
  private run = 0;
  private runSize = 0;
  private longest = 1;
  private runEnded = false;

  /** `onStepDown` is called once, if sending trains turns out to be impossible. */
  constructor(
    arena: Arena,
    options: UnderlayOptions,
    checksum: Checksum,
    counters: CounterRow,
    onStepDown: (errno: number) => void,
  ) {
    this.arena = arena;
    this.fd = options.fd;
    this.tunnelLength = options.tunnelLength;
    this.counters = counters;
    this.ring = new ReceiveRing(arena, options.receives, LARGEST_DATAGRAM, options.names);
    this.used = options.receives;
    this.trains = new Trains(arena, TRAINS, 2 * HEADERS, options.names, options.port);
    this.sender = new Sender(arena, options, counters, onStepDown);
    this.senderCount = options.senders.length;
    this.layer4 = new Layer4(options.linkLength);
    this.kernelPeers = options.kernelPeers;
    this.segmenter = new Segmenter(arena, checksum, options.linkLength);
    this.lanes = new Uint8Array(options.burst);
    this.headerStride = Math.ceil((options.tunnelLength + MAX_HEADERS) / 16) * 16;
    this.headers = arena.reserve(HEADERS * this.headerStride);
  }

  /** Bytes of arena that a port takes. */
  static footprint(receives: number): number {
    return (
      ReceiveRing.footprint(receives, LARGEST_DATAGRAM) +
      Trains.footprint(TRAINS, 2 * HEADERS) +
      Sender.FOOTPRINT +
      HEADERS * 256
    );
  }

  /** Packets one receive call can bring at most. */
  static packets(receives: number, gro: boolean): number {
    return gro ? receives * MAX_RECEIVED_TRAIN : receives;
  }

  receive(batch: PacketBatch): number {
    const { ring } = this;
    ring.prepare(this.used);
    const received = recvmmsg(this.fd, ring.messages, ring.capacity, MSG_DONTWAIT);
    this.used = Math.max(received, 0);
    batch.clear();
    if (received < 0) return received === -EAGAIN || received === -EINTR ? DRAINED : received;
    for (let i = 0; i < received; i++) {
      if (ring.isTruncated(i)) this.counters[COUNTER.rx_drop_truncated]++;
      else this.unpack(batch, i);
    }
    return received === ring.capacity ? MORE : DRAINED;
  }

  private unpack(batch: PacketBatch, message: number): void {
    const { ring } = this;
    const length = ring.length(message);
    const start = ring.buffer(message);
    const address = ring.address(message);
    ring.parse(message);
    let size = ring.segmentSize > 0 && ring.segmentSize < length ? ring.segmentSize : length;
    const superpacket = this.kernelPeers && size < length && this.isSuperpacket(start, length);
    if (superpacket) {
      size = length;
      this.counters[COUNTER.rx_superpackets]++;
    }
    let at = 0;
    do {
      if (batch.count === batch.capacity) {
        this.counters[COUNTER.rx_drop_truncated] += Math.ceil((length - at) / size);
        return;
      }
      const index = batch.count++;
      batch.put(index, start + at, Math.min(size, length - at));
      batch.address[index] = address;
      batch.tos[index] = ring.tos;
      if (superpacket) batch.segmentSize[index] = ring.segmentSize;
      at += size;
    } while (at < length);
  }

  /**
   * A kernel peer on a virtual link hands over a superpacket of inner UDP as one datagram, and names as its segment
   * size that of the inner payload: it is told from a train by an inner packet that spans the whole datagram.
   */
  private isSuperpacket(start: number, length: number): boolean {
    const { layer4, tunnelLength } = this;
    if (!layer4.locate(this.arena.view, start + tunnelLength, length - tunnelLength)) return false;
    return layer4.header + layer4.length === start + length;
  }

  send(batch: PacketBatch): void {
    const { lanes, senderCount } = this;
    let used = 0;
    for (let i = 0; i < batch.count; i++) {
      const lane = (batch.flow[i] >>> 8) % senderCount;
      lanes[i] = lane;
      used |= 1 << lane;
    }
    for (let lane = 0; used !== 0; lane++, used >>>= 1) {
      if ((used & 1) !== 0) this.sendLane(batch, lane);
    }
  }

  /** Sends the packets of the flows that belong to one sender, in their order. */
  private sendLane(batch: PacketBatch, lane: number): void {
    this.lane = lane;
    for (let i = 0; i < batch.count; i++) {
      if (this.lanes[i] !== lane) continue;
      if (batch.segmentSize[i] > 0) this.addSuperpacket(batch, i);
      else this.addPacket(batch, i);
    }
    this.flush();
  }

  /** Adds a packet that is one datagram. */
  private addPacket(batch: PacketBatch, index: number): void {
    this.makeRoom(batch, index, batch.length[index], 1);
    this.trains.push(batch.offset[index], batch.length[index]);
  }

  private addSuperpacket(batch: PacketBatch, index: number): void {
    const { segmenter, tunnelLength } = this;
    const frame = batch.offset[index] + tunnelLength;
    const length = batch.length[index] - tunnelLength;
    if (!segmenter.begin(frame, length, batch.segmentSize[index], tunnelLength)) {
      this.counters[COUNTER.tx_drop_unsegmentable]++;
      return;
    }
    for (let segment = 0; segment < segmenter.count; segment++) this.addSegment(batch, index, segment);
  }

  private addSegment(batch: PacketBatch, index: number, segment: number): void {
    const { trains, segmenter } = this;
    if (this.headersUsed === HEADERS) this.flush();
    this.makeRoom(batch, index, segmenter.segmentLength(segment), 2);
    const at = this.headers + this.headersUsed++ * this.headerStride;
    segmenter.write(segment, at);
    trains.push(at, segmenter.headerLength);
    if (segmenter.payloadLength > 0) trains.push(segmenter.payloadOffset, segmenter.payloadLength);
  }

  /**
   * Opens a train for the next datagram, of `length` bytes in up to `pieces` iovecs, unless it may go with the open one.
   * Which packet a datagram is of does not matter: the segments of one superpacket follow those of another.
   */
  private makeRoom(batch: PacketBatch, index: number, length: number, pieces: number): void {
    const { trains } = this;
    const open = trains.count;
    const mayFollow =
      this.run > 0 &&
      this.run < this.longest &&
      !this.runEnded &&
      length <= this.runSize &&
      batch.address[index] === trains.address[open] &&
      batch.tos[index] === trains.tos[open];
    if (!mayFollow || !trains.hasRoom(pieces)) {
      this.closeRun();
      if (!trains.hasRoom(pieces)) this.flush();
      trains.begin(batch.address[index], batch.tos[index], length);
      this.runSize = length;
      this.longest = this.longestTrain(length);
    }
    this.run++;
    this.runEnded = length < this.runSize;
  }

  private closeRun(): void {
    if (this.run === 0) return;
    this.trains.end(this.run);
    this.run = 0;
    this.runEnded = false;
  }

  private longestTrain(size: number): number {
    if (!this.sender.trains) return 1;
    return Math.max(1, Math.min(MAX_TRAIN, Math.floor(MAX_TRAIN_BYTES / size)));
  }

  private flush(): void {
    this.closeRun();
    this.sender.send(this.trains, this.lane);
    this.trains.clear();
    this.headersUsed = 0;
  }
}
