/** Error numbers of asm-generic/errno-base.h and errno.h. The functions of ffi.ts return them negated. */

import { getSystemErrorName } from 'node:util';

export const EPERM = 1;
export const ENOENT = 2;
export const EINTR = 4;
export const EIO = 5;
export const EBADF = 9;
export const EAGAIN = 11;
export const ENOMEM = 12;
export const EACCES = 13;
export const EFAULT = 14;
export const EBUSY = 16;
export const ENODEV = 19;
export const EINVAL = 22;
/** The error of a tun descriptor whose device was deleted (drivers/net/tun.c). */
export const ENOSYS = 38;
export const EBADFD = 77;
export const ENOTSOCK = 88;
export const EMSGSIZE = 90;
export const EPROTONOSUPPORT = 93;
export const EOPNOTSUPP = 95;
export const EADDRINUSE = 98;
export const EADDRNOTAVAIL = 99;
export const ENETDOWN = 100;
export const ENETUNREACH = 101;
export const ENOBUFS = 105;
export const EHOSTUNREACH = 113;
/** Internal to the kernel (include/linux/errno.h); bpf(2) returns it all the same. */
export const ENOTSUPP = 524;

/** Returns the name of a (positive) errno, for example `EBUSY`. */
export function errnoName(errno: number): string {
  // Node has no name for EBADFD.
  return errno === EBADFD ? 'EBADFD' : getSystemErrorName(-errno);
}
