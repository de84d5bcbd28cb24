/** A running capture of one or two dataplanes: it takes the records of their threads and returns them in a format. */

import { wallClock } from '../../sys/wall-clock.js';
import { type CaptureFormat, type CaptureInterface, PCAPNG, TEXT } from './formats.js';
import type { RingReader } from './ring-reader.js';
import type { CaptureSource } from './source.js';

export interface CaptureOptions {
  format: 'pcapng' | 'text';
  /** Packets after which the capture is complete. */
  count: number | undefined;
}

/** A chunk ends at this size; the process does other work in between. */
const CHUNK_BYTES = 256 * 1024;
/** A thread publishes a packet so long after its time at the latest: a round, and a wait for the processor. */
const PUBLISHED_MS = 5;

export class Capture {
  /** Packets that were returned. */
  packets = 0;
  private readonly sources: readonly CaptureSource[];
  private readonly interfaces: readonly CaptureInterface[];
  private readonly format: CaptureFormat;
  private readonly count: number;
  /** Per interface: packets that were returned. */
  private readonly received: number[];
  private readonly now: () => number;

  /** The interfaces of the sources get their numbers here. `now` is replaced by tests. */
  constructor(
    sources: readonly CaptureSource[],
    { format, count }: CaptureOptions,
    now: () => number = steadyClock(),
  ) {
    this.sources = sources;
    this.now = now;
    this.interfaces = sources
      .flatMap(({ inner, outer }) => [inner, outer])
      .filter((one) => one !== undefined);
    for (const [number, one] of this.interfaces.entries()) one.number = number;
    this.received = this.interfaces.map(() => 0);
    this.format = format === 'text' ? TEXT : PCAPNG;
    this.count = count ?? Number.POSITIVE_INFINITY;
  }

  /** Returns what the capture begins with. */
  begin(): Buffer {
    return this.format.begin(this.interfaces);
  }

  /** Whether it has as many packets as were asked for. */
  get isComplete(): boolean {
    return this.packets >= this.count;
  }

  /** Packets that found no room in the rings. */
  get missed(): number {
    return this.interfaces.reduce((sum, one) => sum + this.missedOf(one), 0);
  }

  /**
   * Returns the packets that wait, in the order of their times, as far as a chunk has room; undefined if none does. While
   * several threads record, the latest packets stay, because another thread may still publish an earlier one.
   */
  read(): Buffer | undefined {
    const threads = this.sources.reduce((sum, { readers }) => sum + readers.length, 0);
    return this.take(threads > 1 ? this.now() - PUBLISHED_MS : Number.POSITIVE_INFINITY);
  }

  /** Returns all packets that wait, as `read` does, once no thread records any more. */
  readRest(): Buffer | undefined {
    return this.take(Number.POSITIVE_INFINITY);
  }

  /** `end`: the time before which a packet is taken. */
  private take(end: number): Buffer | undefined {
    const chunks: Buffer[] = [];
    for (let bytes = 0; bytes < CHUNK_BYTES && !this.isComplete; ) {
      const next = this.earliest(end);
      if (next === undefined) break;
      const packet = next.reader.read();
      const from = packet.isOuter ? next.source.outer : next.source.inner;
      if (from !== undefined) {
        const chunk = this.format.packet(from, packet);
        chunks.push(chunk);
        bytes += chunk.length;
        this.packets++;
        this.received[from.number] = (this.received[from.number] ?? 0) + 1;
      }
      next.reader.release();
    }
    return chunks.length === 0 ? undefined : Buffer.concat(chunks);
  }

  /** Returns what the capture ends with: how many packets each interface has seen, and how many are missing. */
  end(): Buffer {
    for (const { readers } of this.sources) for (const reader of readers) reader.discard();
    return Buffer.concat(
      this.interfaces.map((one) => {
        const missed = this.missedOf(one);
        return this.format.statistics(one, Date.now(), (this.received[one.number] ?? 0) + missed, missed);
      }),
    );
  }

  private earliest(end: number): { reader: RingReader; source: CaptureSource } | undefined {
    let earliest: { reader: RingReader; source: CaptureSource } | undefined;
    let time = end;
    for (const source of this.sources) {
      for (const reader of source.readers) {
        const next = reader.peek();
        if (next === undefined || next >= time) continue;
        time = next;
        earliest = { reader, source };
      }
    }
    return earliest;
  }

  private missedOf(one: CaptureInterface): number {
    const source = this.sources.find(({ inner, outer }) => inner === one || outer === one);
    return (source?.readers ?? []).reduce((sum, reader) => sum + reader.missed(one.isOuter), 0);
  }
}

/** Returns a clock with the times of the recorders, which do not follow a change of the wall clock. */
function steadyClock(): () => number {
  const epoch = wallClock() - performance.now();
  return () => epoch + performance.now();
}
