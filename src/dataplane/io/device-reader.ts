/** Reading from a queue of the device: what follows from an error of the call. */

import { COUNT, READ, RETRY } from '../../sys/call-errors.js';
import { TIMESPEC_SIZE } from '../../sys/constants.js';
import { type Address, ppoll, read } from '../../sys/ffi.js';
import { COUNTER, type CounterRow } from '../counters.js';
import type { Arena } from '../memory/arena.js';
import { DRAINED } from './port.js';

/** Pause after an error that may last: poll would report the device at once. */
const ERROR_PAUSE_NS = 1_000_000;

export class DeviceReader {
  private readonly fd: number;
  private readonly counters: CounterRow;
  private readonly readCall: typeof read;
  private readonly errorPause: Address;

  /** `readCall` is replaced by tests. */
  constructor(arena: Arena, fd: number, counters: CounterRow, readCall = read) {
    this.fd = fd;
    this.counters = counters;
    this.readCall = readCall;
    const pause = arena.reserve(TIMESPEC_SIZE);
    arena.words[(pause + 8) >> 2] = ERROR_PAUSE_NS;
    this.errorPause = arena.address(pause);
  }

  /** Reads one packet. Returns its length, device header included, or a negated errno. */
  read(buffer: Address, length: number): number {
    return this.readCall(this.fd, buffer, length);
  }

  /** Returns the result of a port's `receive` that `errno` ends after `packets` packets. */
  resultOf(errno: number, packets: number): number {
    const outcome = READ[errno];
    if (outcome === RETRY) return DRAINED;
    if (outcome === COUNT) {
      this.counters[COUNTER.tx_receive_errors]++;
      if (packets === 0) ppoll(0n, 0, this.errorPause);
      return DRAINED;
    }
    // The packets come first; the next call fails in the same way.
    return packets > 0 ? DRAINED : -errno;
  }
}
