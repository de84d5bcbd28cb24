/**
 * What a worker does when a round brought nothing: look again, or block.
 *
 * To block and be woken costs more than a packet does. So while packets follow each other closely the worker looks on
 * for some empty rounds first, and gives its core to whoever can use it between two of them; without that the pod that is
 * to answer would wait for the scheduler to take the core away. Where the next packet is a long time coming, as on a
 * quiet node, looking on would only burn the core, and the worker blocks at once. What tells the two apart is how soon
 * the last block ended.
 */

import { POLLFD_SIZE, POLLIN, TIMESPEC_SIZE } from '../../sys/constants.js';
import { type Address, ppoll, schedYield } from '../../sys/ffi.js';
import type { Arena } from '../memory/arena.js';

export class Idle {
  private readonly count: number;
  private readonly pollfds: Address;
  private readonly soon: Address;
  private readonly busyRounds: number;
  /** Empty rounds since the last packet, and how many there may be before the worker blocks. */
  private rounds = 0;
  private allowed = 0;

  /**
   * Blocks until one of `fds` can be read. `busyRounds`: empty rounds before that, 0 for none; `busyPoll`: the
   * microseconds they take.
   */
  constructor(arena: Arena, fds: readonly number[], busyRounds: number, busyPoll: number) {
    const pollfds = arena.reserve(fds.length * POLLFD_SIZE);
    fds.forEach((fd, index) => {
      const word = (pollfds + index * POLLFD_SIZE) >> 2;
      arena.words[word] = fd;
      arena.words[word + 1] = POLLIN;
    });
    const timespec = arena.reserve(TIMESPEC_SIZE);
    // A block shorter than the time of looking on would have been saved by it.
    arena.words[timespec >> 2] = Math.floor(busyPoll / 1e6);
    arena.words[(timespec + 8) >> 2] = (busyPoll % 1e6) * 1000;
    this.count = fds.length;
    this.pollfds = arena.address(pollfds);
    this.soon = arena.address(timespec);
    this.busyRounds = busyRounds;
  }

  /** There was a packet. */
  reset(): void {
    this.rounds = 0;
  }

  /** There was none: returns when it is time to look again. */
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
