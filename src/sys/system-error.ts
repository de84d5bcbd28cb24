/** A system call that failed at set-up. The forwarding loop never throws; it has negated errnos. */

import { errnoName } from './errno.js';

export class SystemError extends Error {
  readonly syscall: string;
  /** Positive. */
  readonly errno: number;
  /** The errno's name: EBUSY. */
  readonly code: string;

  /** `result` is what sys/ffi.ts returned: the negated errno. */
  constructor(syscall: string, result: number) {
    const code = errnoName(-result);
    super(`${syscall}: ${code}`);
    this.name = 'SystemError';
    this.syscall = syscall;
    this.errno = -result;
    this.code = code;
  }
}
