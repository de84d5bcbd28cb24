/**
 * The overlay port at offload level `none`: a TAP or TUN queue without a virtio-net header, one packet a system call.
 */

import { type Address, read, writev } from '../../sys/ffi.js';
import type { Recorder } from '../capture/recorder.js';
import type { Checksum } from '../checksum/checksum.js';
import type { CounterRow } from '../counters.js';
import type { Arena } from '../memory/arena.js';
import { CHECKSUM_PARTIAL, type PacketBatch } from '../memory/batch.js';
import { PartialChecksum } from '../offload/partial-checksum.js';
import { DeviceReader } from './device-reader.js';
import { DeviceWriter } from './device-writer.js';
import { MORE, type Port } from './port.js';
import { SegmentWriter } from './segment-writer.js';

export interface OverlayPortOptions {
  /** A queue of the device. */
  fd: number;
  /** MTU of the pods behind the device, in bytes. */
  podMtu: number;
  /** Bytes of link header in front of every packet: ETHERNET_LENGTH for a TAP, 0 for a TUN. */
  linkLength: number;
}

/** A whole packet, or the headers and the payload of a segment. */
const MAX_PIECES = 2;

export class OverlayPort implements Port {
  private readonly reader: DeviceReader;
  private readonly linkLength: number;
  private readonly partialChecksum: PartialChecksum;
  private readonly writer: DeviceWriter;
  private readonly segmentWriter: SegmentWriter;
  /** Absolute address of each slot: frame i is read into slot i. */
  private readonly slots: readonly Address[];

  /** `outbound`: the batch that will be received into. `write` and `readCall` are replaced by tests. */
  constructor(
    arena: Arena,
    options: OverlayPortOptions,
    checksum: Checksum,
    counters: CounterRow,
    outbound: PacketBatch,
    write = writev,
    readCall = read,
  ) {
    const { fd, podMtu, linkLength } = options;
    this.reader = new DeviceReader(arena, fd, counters, readCall);
    this.linkLength = linkLength;
    this.partialChecksum = new PartialChecksum(arena, checksum, counters, podMtu + linkLength);
    this.writer = new DeviceWriter(arena, fd, counters, MAX_PIECES, 0, write);
    this.segmentWriter = new SegmentWriter(arena, checksum, this.writer, counters);
    this.slots = outbound.slotAddresses(0);
  }

  record(recorder: Recorder): void {
    this.writer.recorder = recorder;
    this.segmentWriter.recorder = recorder;
  }

  receive(batch: PacketBatch): number {
    const { reader } = this;
    batch.clear();
    // `send` has no result: a failure of the device while writing ends the port here.
    if (this.writer.failure !== 0) return -this.writer.failure;
    while (batch.count < batch.capacity) {
      const slot = batch.slot(batch.count);
      const length = reader.read(this.slots[batch.count], batch.slotSize);
      if (length < 0) return reader.resultOf(-length, batch.count);
      batch.set(batch.count, slot, length);
      batch.count++;
    }
    return MORE;
  }

  send(batch: PacketBatch): void {
    const { partialChecksum, writer, linkLength } = this;
    for (let i = 0; i < batch.count; i++) {
      const pseudoHeader = batch.locate(i, 0, linkLength) ? partialChecksum.detect(batch, i) : 0;
      if (batch.gsoSize[i] > 0) {
        this.segmentWriter.write(batch, i);
      } else {
        if (batch.checksum[i] === CHECKSUM_PARTIAL) partialChecksum.complete(batch, i, pseudoHeader);
        writer.add(batch.offset[i], batch.length[i]);
        writer.write();
      }
    }
  }
}
