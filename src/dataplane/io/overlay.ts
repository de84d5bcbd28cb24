/**
 * The overlay port on rung `none`: a TAP or TUN queue without a virtio-net header, one packet a
 * system call.
 */

import { EAGAIN, EINTR } from '../../sys/errno.js';
import { type Address, read } from '../../sys/ffi.js';
import type { Checksum } from '../checksum/checksum.js';
import { COUNTER, type CounterRow } from '../counters.js';
import type { Arena } from '../memory/arena.js';
import { CHECKSUM_PARTIAL, type PacketBatch } from '../memory/batch.js';
import { PartialChecksum } from '../offload/partial-checksum.js';
import { MAX_HEADERS, Segmenter } from '../offload/segment.js';
import { Layer4 } from '../wire/inner-headers.js';
import { DeviceWriter } from './device-writer.js';
import { DRAINED, MORE, type Port } from './port.js';

export interface OverlayOptions {
  /** A queue of the device. */
  fd: number;
  /** MTU of the pods behind the device, in bytes. */
  podMtu: number;
  /** Bytes of link header in front of every packet: ETHERNET_LENGTH for a TAP, 0 for a TUN. */
  linkLength: number;
}

export class OverlayPort implements Port {
  private readonly arena: Arena;
  private readonly fd: number;
  private readonly partialChecksum: PartialChecksum;
  private readonly counters: CounterRow;
  private readonly layer4: Layer4;
  private readonly segmenter: Segmenter;
  private readonly writer: DeviceWriter;
  /** Where frame i is read to: its slot. */
  private readonly slots: readonly Address[];
  private readonly headers: number;

  /** `outbound`: the batch that will be received into. */
  constructor(
    arena: Arena,
    options: OverlayOptions,
    checksum: Checksum,
    counters: CounterRow,
    outbound: PacketBatch,
  ) {
    this.arena = arena;
    this.fd = options.fd;
    this.partialChecksum = new PartialChecksum(arena, checksum, counters, options.podMtu);
    this.counters = counters;
    this.layer4 = new Layer4(options.linkLength);
    this.segmenter = new Segmenter(arena, checksum, options.linkLength);
    this.writer = new DeviceWriter(arena, options.fd, counters, 2, 0);
    this.slots = outbound.slotAddresses(0);
    this.headers = arena.reserve(MAX_HEADERS);
  }

  receive(batch: PacketBatch): number {
    batch.clear();
    while (batch.count < batch.capacity) {
      const slot = batch.slot(batch.count);
      const length = read(this.fd, this.slots[batch.count], batch.slotSize);
      if (length < 0) {
        return length === -EAGAIN || length === -EINTR || batch.count > 0 ? DRAINED : length;
      }
      batch.put(batch.count, slot, length);
      batch.count++;
    }
    return MORE;
  }

  send(batch: PacketBatch): void {
    const { partialChecksum, layer4, writer } = this;
    for (let i = 0; i < batch.count; i++) {
      if (layer4.locate(this.arena.view, batch.offset[i], batch.length[i])) {
        partialChecksum.mark(batch, i, layer4);
      }
      if (batch.segmentSize[i] > 0) {
        this.sendSegments(batch, i);
      } else {
        if (batch.checksum[i] === CHECKSUM_PARTIAL) partialChecksum.complete(layer4);
        writer.put(0, batch.offset[i], batch.length[i]);
        writer.write(1, 1);
      }
    }
  }

  private sendSegments(batch: PacketBatch, index: number): void {
    const { segmenter, headers, writer } = this;
    if (!segmenter.begin(batch.offset[index], batch.length[index], batch.segmentSize[index])) {
      this.counters[COUNTER.rx_drop_device_refused]++;
      return;
    }
    for (let segment = 0; segment < segmenter.count; segment++) {
      segmenter.write(segment, headers);
      writer.put(0, headers, segmenter.headerLength);
      writer.put(1, segmenter.payloadOffset, segmenter.payloadLength);
      writer.write(2, 1);
    }
  }
}
