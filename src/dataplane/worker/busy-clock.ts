/**
 * Measures how long a worker is busy: from the end of a wait that brought a packet to the next wait. The clock is read
 * only where the worker waits, so a saturated worker does not read it. `mark`, once a second, keeps its figure up to date.
 */

import { CLOCK_MONOTONIC, TIMESPEC_SIZE } from '../../sys/constants.js';
import { type Address, clockGettime } from '../../sys/ffi.js';
import type { CounterRow } from '../counters.js';
import { BUSY_SECONDS } from '../load.js';
import type { Arena } from '../memory/arena.js';

export class BusyClock {
  private readonly counters: CounterRow;
  private readonly clock: typeof clockGettime;
  private readonly words: Int32Array;
  /** Index in `words` of the timespec. */
  private readonly seconds: number;
  private readonly timespec: Address;
  /** The time up to which everything is counted. It is an array because a field would be boxed. */
  private readonly counted = new Float64Array(1);

  /** `clock` is replaced by tests. */
  constructor(arena: Arena, counters: CounterRow, clock = clockGettime) {
    this.counters = counters;
    this.clock = clock;
    const at = arena.reserve(TIMESPEC_SIZE);
    this.words = arena.words;
    this.seconds = at >> 2;
    this.timespec = arena.address(at);
    this.skip();
  }

  /** Counts the time since the last call as busy. */
  mark(): void {
    const { counted } = this;
    const now = this.now();
    this.counters[BUSY_SECONDS] += now - counted[0];
    counted[0] = now;
  }

  /** Leaves out the time since the last call: the worker waited. */
  skip(): void {
    this.counted[0] = this.now();
  }

  private now(): number {
    const { words, seconds } = this;
    this.clock(CLOCK_MONOTONIC, this.timespec);
    return words[seconds] + words[seconds + 2] / 1e9;
  }
}
