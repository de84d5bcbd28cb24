/**
 * The doorbell by which control interrupts a worker that is blocked in poll or busy forwarding. It is a flag in shared
 * memory, which the worker checks once per round, and an eventfd in its poll set, which wakes it.
 */

import { EFD_CLOEXEC, EFD_NONBLOCK, POLLIN } from '../../sys/constants.js';
import { addressOf, close, eventfd, ppoll, read, write } from '../../sys/ffi.js';
import { SystemError } from '../../sys/system-error.js';

/** The parts of a Doorbell, in a form that can be posted to another thread. */
export interface DoorbellHandle {
  eventFd: number;
  flags: SharedArrayBuffer;
}

/** Indices of the flags. */
const RINGING = 0;
const STOPPED = 1;

export class Doorbell {
  readonly eventFd: number;
  private readonly flags: Int32Array;
  /** eventfd transfers are exactly 8 bytes. */
  private readonly transfer = new Uint8Array(new BigUint64Array([1n]).buffer);
  private readonly transferAddress = addressOf(this.transfer);
  private closed = false;

  constructor(handle: DoorbellHandle) {
    this.eventFd = handle.eventFd;
    this.flags = new Int32Array(handle.flags);
  }

  /** Control: creates the handle that both ends are made from. @throws SystemError */
  static create(): DoorbellHandle {
    const eventFd = eventfd(EFD_NONBLOCK | EFD_CLOEXEC);
    if (eventFd < 0) throw new SystemError('eventfd', eventFd);
    return { eventFd, flags: new SharedArrayBuffer(2 * Int32Array.BYTES_PER_ELEMENT) };
  }

  /** Control: signals the worker that messages are waiting. */
  ring(): void {
    Atomics.store(this.flags, RINGING, 1);
    // Another file may have the number of a closed eventfd.
    if (this.closed) return;
    this.transfer[0] = 1;
    write(this.eventFd, this.transferAddress, 8);
  }

  /** Control: makes the worker leave its loop. Never blocks, so it may be called from an exit handler. */
  stop(): void {
    Atomics.store(this.flags, STOPPED, 1);
    this.ring();
  }

  /** Control: whether the worker has not answered the last ring yet. */
  get isRinging(): boolean {
    return Atomics.load(this.flags, RINGING) === 1;
  }

  /** Control: closes the eventfd after the worker has ended. May be called again. */
  close(): void {
    if (this.closed) return;
    this.closed = true;
    close(this.eventFd);
  }

  /** Worker: returns true once for all rings since the last call. */
  answer(): boolean {
    if (Atomics.load(this.flags, RINGING) === 0) return false;
    // This order keeps a ring that comes in between: it sets the flag again, and the next round sees it.
    read(this.eventFd, this.transferAddress, 8);
    Atomics.store(this.flags, RINGING, 0);
    return true;
  }

  /** Worker: blocks until a ring, and answers it. */
  wait(): void {
    const pollfd = new Int32Array([this.eventFd, POLLIN]);
    while (!this.answer()) ppoll(addressOf(new Uint8Array(pollfd.buffer)), 1, 0n);
  }

  /** Worker: whether `stop` was called. */
  get stopped(): boolean {
    return Atomics.load(this.flags, STOPPED) === 1;
  }
}
