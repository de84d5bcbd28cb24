/**
 * Planning of GSO runs: which datagrams leave in one message.
 *
 *     datagram     one UDP payload on the wire: tunnel header and inner packet
 *     superpacket  an inner packet that becomes several datagrams, one per segment
 *     run          consecutive datagrams of equal size, the last possibly shorter, to one peer with one TOS
 *     message      one entry of a sendmmsg call; it carries one run, which the kernel cuts (UDP_SEGMENT)
 *     piece        one iovec of a message: a whole packet, or the headers or the payload of a segment
 *
 * A datagram extends the open run if it fits; otherwise the run becomes a message and the datagram opens the next one.
 * The packet a datagram comes from does not matter: segments of one superpacket extend the run of another.
 */

import { Recorder } from '../capture/recorder.js';
import type { Checksum } from '../checksum/checksum.js';
import { COUNTER, type CounterRow } from '../counters.js';
import type { Arena } from '../memory/arena.js';
import type { PacketBatch } from '../memory/batch.js';
import { MAX_HEADERS, Segmenter } from '../offload/segment.js';
import { SendTable } from './send-table.js';
import type { Sender, SenderOptions } from './sender.js';

/**
 * Largest UDP payload over IPv4: 65535 less both headers. It limits the whole run. Over IPv6, whose length excludes its
 * header, there would be room for 20 bytes more.
 */
const MAX_RUN_BYTES = 65507;
/** Messages and segment headers between two system calls: a burst of superpackets, or of small packets. */
const MESSAGES = 64;
const HEADERS = 768;
/** Most bytes of tunnel header and inner headers that a segment has, aligned. */
const HEADERS_SIZE = 256;

export interface GsoPlannerOptions extends Pick<SenderOptions, 'codec' | 'port' | 'tunnelLength' | 'maxRun'> {
  /** Bytes of link header in front of the inner packet's IP header. */
  linkLength: number;
}

export class GsoPlanner {
  static readonly FOOTPRINT = SendTable.footprint(MESSAGES, 2 * HEADERS) + HEADERS * HEADERS_SIZE;

  /** The transmit socket of everything that is added until the next `flush`. */
  txSocket = 0;
  recorder = Recorder.NONE;
  private readonly counters: CounterRow;
  private readonly sender: Sender;
  private readonly table: SendTable;
  private readonly segmenter: Segmenter;
  private readonly tunnelLength: number;
  private readonly linkLength: number;
  private readonly maxRunDatagrams: number;
  private readonly headers: number;
  private readonly headersStride: number;
  private headersUsed = 0;
  /** The open run: its peer, TOS, bytes of a datagram, and the number of datagrams it has and may have. */
  private address = 0;
  private tos = 0;
  private datagramSize = 0;
  private datagrams = 0;
  private maxDatagrams = 0;

  constructor(
    arena: Arena,
    checksum: Checksum,
    sender: Sender,
    options: GsoPlannerOptions,
    counters: CounterRow,
  ) {
    this.counters = counters;
    this.sender = sender;
    this.table = new SendTable(arena, MESSAGES, 2 * HEADERS, options.codec, options.port);
    this.segmenter = new Segmenter(arena, checksum);
    this.tunnelLength = options.tunnelLength;
    this.linkLength = options.linkLength;
    this.maxRunDatagrams = options.maxRun;
    this.headersStride = Math.ceil((options.tunnelLength + MAX_HEADERS) / 16) * 16;
    this.headers = arena.reserve(HEADERS * this.headersStride);
  }

  /**
   * Adds packet `index` of the batch: one datagram, or one per segment of a superpacket. Sends when the tables are
   * full.
   */
  add(batch: PacketBatch, index: number): void {
    if (batch.gsoSize[index] > 0) {
      this.addSuperpacket(batch, index);
      return;
    }
    const length = batch.length[index];
    this.addDatagram(batch.address[index], batch.tos[index], length, 1);
    this.table.add(batch.offset[index], length);
  }

  /** Sends everything that was added since the last flush. */
  flush(): void {
    this.endRun();
    this.sender.send(this.table, this.txSocket);
    this.table.clear();
    this.headersUsed = 0;
  }

  private addSuperpacket(batch: PacketBatch, index: number): void {
    const { table, segmenter, tunnelLength } = this;
    const packet = batch.offset[index] + tunnelLength;
    const headers = batch.headers[index];
    batch.locate(index, tunnelLength, this.linkLength);
    if (!segmenter.begin(packet, headers, batch.gsoSize[index], tunnelLength)) {
      this.counters[COUNTER.tx_drop_unsegmentable]++;
      if (this.recorder.on) {
        const length = batch.length[index] - tunnelLength;
        this.recorder.dropFrame(packet, length, COUNTER.tx_drop_unsegmentable, batch.address[index]);
      }
      return;
    }
    for (let segment = 0; segment < segmenter.count; segment++) {
      if (this.headersUsed === HEADERS) this.flush();
      this.addDatagram(batch.address[index], batch.tos[index], segmenter.segmentLength(segment), 2);
      const at = this.headers + this.headersUsed++ * this.headersStride;
      segmenter.write(segment, at);
      table.add(at, segmenter.headersLength);
      if (segmenter.payloadLength > 0) table.add(segmenter.payloadOffset, segmenter.payloadLength);
    }
  }

  /** Extends the open run by a datagram of `length` bytes in up to `pieces` pieces, or opens a new one with it. */
  private addDatagram(address: number, tos: number, length: number, pieces: number): void {
    const { table } = this;
    const fits =
      this.datagrams < this.maxDatagrams &&
      length <= this.datagramSize &&
      address === this.address &&
      tos === this.tos &&
      table.hasRoom(pieces);
    if (!fits) {
      this.endRun();
      if (!table.hasRoom(pieces)) this.flush();
      table.begin(address, tos, length);
      this.address = address;
      this.tos = tos;
      this.datagramSize = length;
      this.maxDatagrams = this.maxRun(length);
    }
    this.datagrams++;
    // A shorter datagram is the last of its run.
    if (length < this.datagramSize) this.maxDatagrams = this.datagrams;
  }

  /** Turns the open run, if there is one, into a message. */
  private endRun(): void {
    if (this.datagrams > 0) this.table.end(this.datagrams);
    this.datagrams = 0;
    this.maxDatagrams = 0;
  }

  private maxRun(datagramSize: number): number {
    if (!this.sender.gso) return 1;
    return Math.max(1, Math.min(this.maxRunDatagrams, Math.floor(MAX_RUN_BYTES / datagramSize)));
  }
}
