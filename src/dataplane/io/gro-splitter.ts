/**
 * Splitting of received messages into packets. A message is a single datagram, a GRO run of datagrams of equal size
 * (UDP_GRO), or one datagram with a superpacket of a kernel peer.
 */

import { Recorder } from '../capture/recorder.js';
import { COUNTER, type CounterRow } from '../counters.js';
import type { PacketBatch } from '../memory/batch.js';
import type { ReceiveTable } from './receive-table.js';

/**
 * UDP_MAX_SEGMENTS since 6.9: over veth a GRO run arrives as its source made it. A sender that writes superpackets itself
 * (AF_PACKET) can exceed it, so that one message would fill a round.
 */
const MAX_RUN_DATAGRAMS = 128;

export interface GroSplitterOptions {
  /** Bytes of tunnel header in front of the inner packet, and of link header in front of its IP header. */
  tunnelLength: number;
  linkLength: number;
  /** Whether a peer may be the kernel's own tunnel device, which sends inner superpackets over virtual links. */
  kernelPeers: boolean;
}

export class GroSplitter {
  recorder = Recorder.NONE;
  private readonly counters: CounterRow;
  private readonly table: ReceiveTable;
  private readonly tunnelLength: number;
  private readonly linkLength: number;
  private readonly kernelPeers: boolean;

  constructor(table: ReceiveTable, options: GroSplitterOptions, counters: CounterRow) {
    this.counters = counters;
    this.table = table;
    this.tunnelLength = options.tunnelLength;
    this.linkLength = options.linkLength;
    this.kernelPeers = options.kernelPeers;
  }

  /** Returns the most packets that `messages` messages can become. */
  static maxPackets(messages: number, gro: boolean): number {
    return gro ? messages * MAX_RUN_DATAGRAMS : messages;
  }

  /**
   * Adds the packets of message `message` to the batch. Drops and counts those beyond MAX_RUN_DATAGRAMS, so that a message
   * never takes the room of another.
   */
  split(batch: PacketBatch, message: number): void {
    const { table } = this;
    const length = table.length(message);
    const start = table.buffer(message);
    const source = table.source(message);
    table.parseControl(message);
    const { datagramSize, tos } = table;
    const isRun = datagramSize > 0 && datagramSize < length;
    // An empty datagram counts as a packet too.
    const size = isRun ? datagramSize : Math.max(1, length);
    const end = Math.min(batch.capacity, batch.count + MAX_RUN_DATAGRAMS);
    let at = 0;
    do {
      if (batch.count === end) {
        this.counters[COUNTER.rx_drop_truncated] += Math.max(1, Math.ceil((length - at) / size));
        if (this.recorder.on) this.recordRest(start + at, start + length, size, source, tos);
        return;
      }
      const index = batch.count++;
      batch.set(index, start + at, Math.min(size, length - at), source, tos);
      if (at === 0 && isRun && this.kernelPeers && this.extendSuperpacket(batch, index, length)) {
        // For a superpacket UDP_GRO reports the size of the inner payload.
        batch.gsoSize[index] = datagramSize;
        if (batch.segments(index) > MAX_RUN_DATAGRAMS) {
          batch.count--;
          this.counters[COUNTER.rx_drop_unsegmentable]++;
          if (this.recorder.on)
            this.recorder.dropDatagram(start, length, COUNTER.rx_drop_unsegmentable, source, tos);
        } else {
          this.counters[COUNTER.rx_superpackets]++;
        }
        return;
      }
      at += size;
    } while (at < length);
  }

  /** Records the datagrams of `size` bytes from `from` to `end` as dropped. */
  private recordRest(from: number, end: number, size: number, source: number, tos: number): void {
    for (let at = from; at < end; at += size) {
      const length = Math.min(size, end - at);
      this.recorder.dropDatagram(at, length, COUNTER.rx_drop_truncated, source, tos);
    }
  }

  /**
   * Extends packet `index` to the message of `length` bytes and returns true if it is an inner UDP superpacket. A
   * kernel peer on a virtual link sends it as one datagram. Unlike in a GRO run, its inner packet spans the whole
   * message.
   */
  private extendSuperpacket(batch: PacketBatch, index: number, length: number): boolean {
    const { tunnelLength } = this;
    const datagramSize = batch.length[index];
    batch.length[index] = length;
    if (batch.locate(index, tunnelLength, this.linkLength)) {
      const { transport, transportLength } = batch.headers[index];
      if (tunnelLength + transport + transportLength === length) return true;
    }
    batch.length[index] = datagramSize;
    batch.forgetHeaders(index);
    return false;
  }
}
