/** Error numbers of asm-generic/errno-base.h and errno.h. System calls in this tree return them negated. */

import { getSystemErrorName } from 'node:util';

export const EPERM = 1;
export const ENOENT = 2;
export const EINTR = 4;
export const EIO = 5;
export const EAGAIN = 11;
export const EACCES = 13;
export const EBUSY = 16;
export const ENODEV = 19;
export const EINVAL = 22;
export const EADDRINUSE = 98;
export const EADDRNOTAVAIL = 99;
export const ENETDOWN = 100;
export const ENETUNREACH = 101;
export const ENOBUFS = 105;
export const EHOSTUNREACH = 113;

/** A negative result as the name a person can look up: `EBUSY`. For error messages only. */
export function errnoName(result: number): string {
  return getSystemErrorName(result < 0 ? result : -result);
}

/** True when the network, not the packet or the socket, refused a datagram: no route, no neighbour, link down. */
export function isUnreachable(errno: number): boolean {
  return errno === ENETUNREACH || errno === EHOSTUNREACH || errno === ENETDOWN;
}
