/** Rates from counters that only rise, or start at 0 again. */

import type { History } from './glyphs.js';

/** Samples that are kept: the width of the longest sparkline. */
export const KEPT_SAMPLES = 40;

/** Time in which the weight of an old rate falls to a third, in seconds. */
const SMOOTHING_S = 10;

/** Counters of packets and bytes. A Weft of another version may lack some. */
export interface Counts {
  readonly txPackets?: number | undefined;
  readonly txBytes?: number | undefined;
  readonly rxPackets?: number | undefined;
  readonly rxBytes?: number | undefined;
}

/** The rate of one counter. */
export class Rate {
  /** Per second, in the last interval; undefined without two readings, or while Weft does not answer. */
  value: number | undefined;
  /** How much it rose in the last interval. */
  rise = 0;
  private last: number | undefined;

  /** Takes a reading. A lower value than the last one means that the counter started at 0 again. */
  read(count: number | undefined, seconds: number): void {
    const { last } = this;
    this.last = count ?? last;
    if (count === undefined || last === undefined || seconds <= 0) return this.miss();
    this.rise = count < last ? count : count - last;
    this.value = this.rise / seconds;
  }

  miss(): void {
    this.value = undefined;
    this.rise = 0;
  }
}

/** The newest rates, for a sparkline. */
export class Trail {
  readonly history: History;
  private readonly values: (number | undefined)[] = [];

  constructor() {
    this.history = this.values;
  }

  push(value: number | undefined): void {
    this.values.push(value);
    if (this.values.length > KEPT_SAMPLES) this.values.shift();
  }
}

/** The traffic of one peer, or of all. */
export class Meter {
  readonly txPackets = new Rate();
  readonly txBytes = new Rate();
  readonly rxPackets = new Rate();
  readonly rxBytes = new Rate();
  /** Both directions together, per second. */
  readonly packets = new Trail();
  readonly bytes = new Trail();
  /** The smoothed rate of bytes; of packets if Weft does not count bytes. */
  weight = 0;

  read(counts: Counts, seconds: number): void {
    this.txPackets.read(counts.txPackets, seconds);
    this.txBytes.read(counts.txBytes, seconds);
    this.rxPackets.read(counts.rxPackets, seconds);
    this.rxBytes.read(counts.rxBytes, seconds);
    this.record();
    const rate = this.bytes.history.at(-1) ?? this.packets.history.at(-1);
    if (rate === undefined) return;
    const smoothed = rate + (this.weight - rate) * Math.exp(-seconds / SMOOTHING_S);
    // A peer without traffic for minutes is as idle as one that never had any.
    this.weight = smoothed < 0.1 ? 0 : smoothed;
  }

  /** Notes that Weft did not answer. */
  miss(): void {
    for (const rate of [this.txPackets, this.txBytes, this.rxPackets, this.rxBytes]) rate.miss();
    this.record();
  }

  private record(): void {
    this.packets.push(sum(this.txPackets.value, this.rxPackets.value));
    this.bytes.push(sum(this.txBytes.value, this.rxBytes.value));
  }
}

/** Returns the sum of what is known. */
function sum(a: number | undefined, b: number | undefined): number | undefined {
  return a === undefined && b === undefined ? undefined : (a ?? 0) + (b ?? 0);
}
