/** A failed system call at set-up. The forwarding loop never throws; it handles negated errnos. */

import { errnoName } from './errno.js';

export class SystemError extends Error {
  readonly syscall: string;
  /** The positive errno. */
  readonly errno: number;
  /** The errno's name, for example EBUSY. */
  readonly code: string;

  /** `result` is the negated errno that a function of ffi.ts returned. */
  constructor(syscall: string, result: number) {
    const code = errnoName(-result);
    super(`${syscall}: ${code}`);
    this.name = 'SystemError';
    this.syscall = syscall;
    this.errno = -result;
    this.code = code;
  }
}
