/** The overlay port on rung `none`: a TAP queue without a virtio-net header, one frame a system call. */

import type { Checksum } from '../checksum/checksum.js';
import { COUNTER, type CounterRow } from '../counters.js';
import type { Arena } from '../memory/arena.js';
import { CHECKSUM_PARTIAL, type PacketBatch } from '../memory/batch.js';
import { PartialChecksum } from '../offload/partial-checksum.js';
import { MAX_HEADERS, Segmenter } from '../offload/segment.js';
import { IOVEC_SIZE } from '../sys/constants.js';
import { EAGAIN, EINTR } from '../sys/errno.js';
import { read, write, writev } from '../sys/ffi.js';
import { DRAINED, MORE, type Port } from './port.js';

export class TapPort implements Port {
  private readonly arena: Arena;
  private readonly fd: number;
  private readonly partialChecksum: PartialChecksum;
  private readonly counters: CounterRow;
  private readonly segmenter: Segmenter;
  private readonly iovecs: number;
  private readonly headers: number;

  constructor(arena: Arena, fd: number, checksum: Checksum, counters: CounterRow) {
    this.arena = arena;
    this.fd = fd;
    this.partialChecksum = new PartialChecksum(arena, checksum);
    this.counters = counters;
    this.segmenter = new Segmenter(arena, checksum);
    this.iovecs = arena.reserve(2 * IOVEC_SIZE);
    this.headers = arena.reserve(MAX_HEADERS);
  }

  receive(batch: PacketBatch): number {
    batch.clear();
    while (batch.count < batch.capacity) {
      const slot = batch.slot(batch.count);
      const length = read(this.fd, this.arena.base + slot, batch.slotSize);
      if (length < 0) {
        return length === -EAGAIN || length === -EINTR || batch.count > 0 ? DRAINED : length;
      }
      batch.put(batch.count, slot, length);
      batch.count++;
    }
    return MORE;
  }

  send(batch: PacketBatch): void {
    for (let i = 0; i < batch.count; i++) {
      if (batch.segmentSize[i] > 0) {
        this.sendSegments(batch, i);
      } else {
        if (batch.checksum[i] === CHECKSUM_PARTIAL) {
          this.partialChecksum.complete(batch, i);
          this.counters[COUNTER.rx_checksums_completed]++;
        }
        this.delivered(write(this.fd, this.arena.base + batch.offset[i], batch.length[i]), batch.length[i]);
      }
    }
  }

  private sendSegments(batch: PacketBatch, index: number): void {
    const { arena, segmenter, iovecs, headers } = this;
    this.counters[COUNTER.rx_superpackets]++;
    if (!segmenter.begin(batch.offset[index], batch.length[index], batch.segmentSize[index])) return;
    for (let segment = 0; segment < segmenter.count; segment++) {
      segmenter.write(segment, headers);
      arena.putPointer(iovecs, headers);
      arena.words[(iovecs + 8) >> 2] = segmenter.headerLength;
      arena.putPointer(iovecs + IOVEC_SIZE, segmenter.payloadOffset);
      arena.words[(iovecs + IOVEC_SIZE + 8) >> 2] = segmenter.payloadLength;
      const length = segmenter.headerLength + segmenter.payloadLength;
      this.delivered(writev(this.fd, arena.base + iovecs, 2), length);
    }
  }

  private delivered(result: number, length: number): void {
    if (result === -EAGAIN) {
      this.counters[COUNTER.rx_drop_device_full]++;
    } else if (result < 0) {
      this.counters[COUNTER.rx_drop_device_refused]++;
    } else {
      this.counters[COUNTER.rx_packets]++;
      this.counters[COUNTER.rx_bytes] += length;
    }
  }
}
