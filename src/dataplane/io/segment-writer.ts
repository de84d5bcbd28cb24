/** Writing a superpacket that the device does not accept as such: one packet per segment. */

import { Recorder } from '../capture/recorder.js';
import type { Checksum } from '../checksum/checksum.js';
import { COUNTER, type CounterRow } from '../counters.js';
import type { Arena } from '../memory/arena.js';
import type { PacketBatch } from '../memory/batch.js';
import { MAX_HEADERS, Segmenter } from '../offload/segment.js';
import type { DeviceWriter } from './device-writer.js';

export class SegmentWriter {
  recorder = Recorder.NONE;
  private readonly writer: DeviceWriter;
  private readonly counters: CounterRow;
  private readonly segmenter: Segmenter;
  private readonly headers: number;

  constructor(arena: Arena, checksum: Checksum, writer: DeviceWriter, counters: CounterRow) {
    this.writer = writer;
    this.counters = counters;
    this.segmenter = new Segmenter(arena, checksum);
    // The segmenter copies whole words.
    this.headers = arena.reserve(Math.ceil(MAX_HEADERS / 4) * 4);
  }

  /** Writes the segments of superpacket `index`, which has been located. */
  write(batch: PacketBatch, index: number): void {
    const { segmenter, headers, writer } = this;
    if (!segmenter.begin(batch.offset[index], batch.headers[index], batch.gsoSize[index])) {
      this.counters[COUNTER.rx_drop_unsegmentable]++;
      if (this.recorder.on) this.recorder.refuseFrame(batch.offset[index], COUNTER.rx_drop_unsegmentable);
      return;
    }
    for (let segment = 0; segment < segmenter.count; segment++) {
      segmenter.write(segment, headers);
      writer.add(headers, segmenter.headersLength);
      writer.add(segmenter.payloadOffset, segmenter.payloadLength);
      writer.write();
    }
  }
}
