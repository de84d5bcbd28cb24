/** Writing to a queue of the device: one packet a call, gathered from pieces, counted by what came of it. */

import { IOVEC_SIZE } from '../../sys/constants.js';
import { EAGAIN } from '../../sys/errno.js';
import { type Address, writev } from '../../sys/ffi.js';
import { COUNTER, type CounterRow } from '../counters.js';
import type { Arena } from '../memory/arena.js';

export class DeviceWriter {
  private readonly arena: Arena;
  private readonly fd: number;
  private readonly counters: CounterRow;
  private readonly headerLength: number;
  private readonly iovecs: number;
  private readonly iovecsAddress: Address;

  /** Room for `pieces` pieces a packet, of which the first `headerLength` bytes are for the device and not counted. */
  constructor(arena: Arena, fd: number, counters: CounterRow, pieces: number, headerLength: number) {
    this.arena = arena;
    this.fd = fd;
    this.counters = counters;
    this.headerLength = headerLength;
    this.iovecs = arena.reserve(pieces * IOVEC_SIZE);
    this.iovecsAddress = arena.address(this.iovecs);
  }

  /** Piece `index` of the next packet: `length` bytes at arena offset `offset`. */
  put(index: number, offset: number, length: number): void {
    this.arena.putIovec(this.iovecs + index * IOVEC_SIZE, offset, length);
  }

  /** Writes the first `pieces` pieces and counts them as so many packets; false when the device did not take them. */
  write(pieces: number, packets: number): boolean {
    const { counters } = this;
    const result = writev(this.fd, this.iovecsAddress, pieces);
    if (result === -EAGAIN) {
      counters[COUNTER.rx_drop_device_full] += packets;
    } else if (result < 0) {
      counters[COUNTER.rx_drop_device_refused] += packets;
    } else {
      counters[COUNTER.rx_packets] += packets;
      counters[COUNTER.rx_bytes] += result - this.headerLength;
    }
    return result >= 0;
  }
}
