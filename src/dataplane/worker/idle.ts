/**
 * What a worker does after a round without packets: poll again, or block.
 *
 * Blocking and waking costs more than forwarding a packet. Under dense traffic the worker therefore polls a few empty
 * rounds first and yields its core between them; otherwise the pod that is to answer would wait until the scheduler
 * preempts the worker. On a quiet node polling would only burn the core, so the worker blocks at once. The duration of
 * the last block distinguishes the two.
 */

import { POLLFD_SIZE, POLLIN, TIMESPEC_SIZE } from '../../sys/constants.js';
import { type Address, ppoll, schedYield } from '../../sys/ffi.js';
import type { Arena } from '../memory/arena.js';

export class Idle {
  /** Empty rounds before the worker blocks under dense traffic; with 0 it always blocks at once. */
  busyRounds = 0;
  private readonly count: number;
  private readonly pollfds: Address;
  private readonly soon: Address;
  /** Empty rounds since the last packet. */
  private rounds = 0;
  /** Empty rounds that are allowed before the next block. */
  private allowed = 0;

  /** Blocks until one of `fds` is readable. A block shorter than `busyPoll` microseconds shows dense traffic. */
  constructor(arena: Arena, fds: readonly number[], busyPoll: number) {
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
    this.pollfds = arena.address(pollfds);
    this.soon = arena.address(timespec);
  }

  /** Called after a round with packets. */
  reset(): void {
    this.rounds = 0;
  }

  /** Called after a round without packets; returns when it is time to poll the ports again. */
  wait(): void {
    if (this.rounds < this.allowed) {
      this.rounds++;
      schedYield();
    } else if (this.busyRounds > 0 && ppoll(this.pollfds, this.count, this.soon) > 0) {
      this.allowed = this.busyRounds;
    } else {
      this.allowed = 0;
      ppoll(this.pollfds, this.count, 0n);
    }
  }
}
