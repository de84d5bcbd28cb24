/**
 * How control gets the attention of a worker, blocked in poll or busy forwarding: a flag in shared memory that the
 * worker looks at once a round, and an eventfd in its poll set that wakes it.
 */

import { EFD_CLOEXEC, EFD_NONBLOCK } from '../../sys/constants.js';
import { addressOf, close, eventfd, read, write } from '../../sys/ffi.js';
import { SystemError } from '../../sys/system-error.js';
import type { DoorbellHandle } from './messages.js';

const RUNG = 0;
const STOP = 1;

export class Doorbell {
  readonly eventFd: number;
  private readonly flags: Int32Array;
  /** eventfd transfers are exactly 8 bytes. */
  private readonly transfer = new Uint8Array(new BigUint64Array([1n]).buffer);
  private readonly transferAddress = addressOf(this.transfer);

  constructor(handle: DoorbellHandle) {
    this.eventFd = handle.eventFd;
    this.flags = new Int32Array(handle.flags);
  }

  /** Control's side: a new doorbell. @throws SystemError */
  static create(): DoorbellHandle {
    const eventFd = eventfd(EFD_NONBLOCK | EFD_CLOEXEC);
    if (eventFd < 0) throw new SystemError('eventfd', eventFd);
    return { eventFd, flags: new SharedArrayBuffer(2 * Int32Array.BYTES_PER_ELEMENT) };
  }

  /** Control: there is a message to take. */
  ring(): void {
    Atomics.store(this.flags, RUNG, 1);
    this.transfer[0] = 1;
    write(this.eventFd, this.transferAddress, 8);
  }

  /** Control: the worker is to return from its loop. Also from an exit handler: nothing here waits. */
  stop(): void {
    Atomics.store(this.flags, STOP, 1);
    this.ring();
  }

  /** Control, once the worker is gone. */
  close(): void {
    close(this.eventFd);
  }

  /** Worker: true once for any number of rings since the last time. */
  answer(): boolean {
    if (Atomics.load(this.flags, RUNG) === 0) return false;
    // In this order a ring in between is not lost: the flag is set again and the next round sees it.
    read(this.eventFd, this.transferAddress, 8);
    Atomics.store(this.flags, RUNG, 0);
    return true;
  }

  /** Worker. */
  get stopped(): boolean {
    return Atomics.load(this.flags, STOP) === 1;
  }
}
