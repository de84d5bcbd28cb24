/**
 * What a worker does after a round without packets: poll again, or block.
 *
 * Blocking and waking costs more than forwarding a packet. Under dense traffic the worker therefore polls a few empty
 * rounds first and yields its core between them; otherwise the pod that is to answer would wait until the scheduler
 * preempts the worker. On a quiet node polling would only burn the core, so the worker blocks at once. The duration of
 * the last block distinguishes the two.
 */

import { FATAL, PPOLL } from '../../sys/call-errors.js';
import { POLLFD_SIZE, POLLIN, POLLNVAL, TIMESPEC_SIZE } from '../../sys/constants.js';
import { EBADF } from '../../sys/errno.js';
import { type Address, ppoll, schedYield } from '../../sys/ffi.js';
import type { CounterRow } from '../counters.js';
import { privateRow } from '../load.js';
import type { Arena } from '../memory/arena.js';
import { BusyClock } from './busy-clock.js';

export class Idle {
  /** Empty rounds before the worker blocks under dense traffic; with 0 it always blocks at once. */
  busyRounds = 0;
  private readonly words: Int32Array;
  private readonly count: number;
  /** Index in `words` of events and revents of the doorbell. */
  private readonly doorbellEvents: number;
  private readonly ppoll: typeof ppoll;
  private readonly pollfds: Address;
  private readonly soon: Address;
  /** Empty rounds since the last packet. */
  private rounds = 0;
  /** Empty rounds that are allowed before the next block. */
  private allowed = 0;
  private readonly clock: BusyClock;
  /** Whether the last round had packets. */
  private isBusy = false;

  /**
   * Blocks until one of `fds` is readable; the last one is the doorbell. A block shorter than `busyPoll` microseconds
   * shows dense traffic. `poll` is replaced by tests. `counters` is the row of the worker.
   */
  constructor(
    arena: Arena,
    fds: readonly number[],
    busyPoll: number,
    poll = ppoll,
    counters: CounterRow = privateRow(),
  ) {
    this.ppoll = poll;
    this.words = arena.words;
    const pollfds = arena.reserve(fds.length * POLLFD_SIZE);
    fds.forEach((fd, index) => {
      const word = (pollfds + index * POLLFD_SIZE) >> 2;
      arena.words[word] = fd;
      arena.words[word + 1] = POLLIN;
    });
    const timespec = arena.reserve(TIMESPEC_SIZE);
    arena.words[timespec >> 2] = Math.floor(busyPoll / 1e6);
    arena.words[(timespec + 8) >> 2] = (busyPoll % 1e6) * 1000;
    this.count = fds.length;
    this.doorbellEvents = ((pollfds + (fds.length - 1) * POLLFD_SIZE) >> 2) + 1;
    this.pollfds = arena.address(pollfds);
    this.soon = arena.address(timespec);
    this.clock = new BusyClock(arena, counters);
  }

  /** Called after a round with packets. */
  reset(): void {
    this.rounds = 0;
    this.isBusy = true;
  }

  /** Called once a second: counts the time of a worker that never waits. */
  mark(): void {
    if (this.isBusy) this.clock.mark();
  }

  /**
   * Called after a round without packets; returns when it is time to poll the ports again. The result is 0, or a negated
   * errno when the thread cannot wait any more.
   */
  wait(): number {
    if (this.isBusy) this.clock.mark();
    this.isBusy = false;
    const result = this.pause();
    this.clock.skip();
    return result;
  }

  private pause(): number {
    if (this.rounds < this.allowed) {
      this.rounds++;
      schedYield();
      return 0;
    }
    if (this.busyRounds > 0) {
      const ready = this.ppoll(this.pollfds, this.count, this.soon);
      this.allowed = ready > 0 ? this.busyRounds : 0;
      if (ready !== 0) return this.resultOf(ready);
    }
    this.allowed = 0;
    return this.resultOf(this.ppoll(this.pollfds, this.count, 0n));
  }

  private resultOf(ready: number): number {
    // The ports find out about their own descriptors, but nothing else reads a closed doorbell.
    if (ready > 0) return ((this.words[this.doorbellEvents] >>> 16) & POLLNVAL) === 0 ? 0 : -EBADF;
    return PPOLL[-ready] === FATAL ? ready : 0;
  }
}
