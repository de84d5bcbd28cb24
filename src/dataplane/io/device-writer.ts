/** Writing packets to a queue of the device: one packet a call, gathered from pieces, counted by the result. */

import { FATAL, WRITEV } from '../../sys/call-errors.js';
import { IOVEC_SIZE } from '../../sys/constants.js';
import { EAGAIN } from '../../sys/errno.js';
import { type Address, writev } from '../../sys/ffi.js';
import { Recorder } from '../capture/recorder.js';
import { COUNTER, type CounterRow } from '../counters.js';
import type { Arena } from '../memory/arena.js';

export class DeviceWriter {
  /** Arena offset of the device header, which precedes every packet and is not counted. */
  readonly header: number;
  /** The errno that ends the use of the device; 0 so far. */
  failure = 0;
  recorder = Recorder.NONE;
  private readonly arena: Arena;
  private readonly fd: number;
  private readonly counters: CounterRow;
  private readonly headerLength: number;
  private readonly writev: typeof writev;
  private readonly iovecs: number;
  private readonly iovecsAddress: Address;
  /** iovecs of every packet that the device header takes, and iovecs of the next packet so far. */
  private readonly headerPieces: number;
  private pieces: number;
  /** iovecs of the packet that the device refused last. */
  private refused = 0;

  /**
   * Has room for `maxPieces` pieces a packet. `headerLength`: bytes of the device header, 0 for none. `write` is replaced
   * by tests.
   */
  constructor(
    arena: Arena,
    fd: number,
    counters: CounterRow,
    maxPieces: number,
    headerLength: number,
    write = writev,
  ) {
    this.writev = write;
    this.arena = arena;
    this.fd = fd;
    this.counters = counters;
    this.headerLength = headerLength;
    this.header = arena.reserve(headerLength);
    this.iovecs = arena.reserve((maxPieces + 1) * IOVEC_SIZE);
    this.iovecsAddress = arena.address(this.iovecs);
    arena.writeIovec(this.iovecs, this.header, headerLength);
    this.headerPieces = headerLength > 0 ? 1 : 0;
    this.pieces = this.headerPieces;
  }

  /** Adds `length` bytes at arena offset `offset` to the next packet. */
  add(offset: number, length: number): void {
    this.arena.writeIovec(this.iovecs + this.pieces++ * IOVEC_SIZE, offset, length);
  }

  /** Writes the added pieces and counts them as one packet, or as one drop. */
  write(): void {
    const errno = this.tryWrite(1, 0);
    if (errno !== 0) this.drop(1, errno);
  }

  /**
   * Writes the added pieces and counts them as `packets` packets, which have `more` bytes more than the pieces. Returns 0,
   * or the errno when the device does not accept them; then nothing is counted.
   */
  tryWrite(packets: number, more: number): number {
    const { counters } = this;
    const { pieces } = this;
    const result = this.writev(this.fd, this.iovecsAddress, pieces);
    this.pieces = this.headerPieces;
    if (result < 0) {
      this.refused = pieces;
      return -result;
    }
    counters[COUNTER.rx_packets] += packets;
    counters[COUNTER.rx_bytes] += result - this.headerLength + more;
    return 0;
  }

  /** Counts `packets` packets that the device does not accept with this errno. */
  drop(packets: number, errno: number): void {
    if (WRITEV[errno] === FATAL) this.failure = errno;
    const reason = errno === EAGAIN ? COUNTER.rx_drop_device_full : COUNTER.rx_drop_device_refused;
    this.counters[reason] += packets;
    if (!this.recorder.on) return;
    for (let piece = this.headerPieces; piece < this.refused; piece++)
      this.recorder.refuseFrame(this.arena.readPointer(this.iovecs + piece * IOVEC_SIZE), reason);
  }
}
