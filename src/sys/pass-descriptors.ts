/**
 * Open files for another process, by SCM_RIGHTS over a Unix datagram socket (unix(7)). Both processes then use the same
 * queue of a device and the same socket: what waits in it stays, and either process can read it.
 */

import {
  CMSGHDR_SIZE,
  MSG_CMSG_CLOEXEC,
  MSG_CTRUNC,
  MSG_DONTWAIT,
  MSG_TRUNC,
  SCM_MAX_FD,
  SCM_RIGHTS,
  SOL_SOCKET,
} from './constants.js';
import { EAGAIN, EMSGSIZE } from './errno.js';
import { bind, close, recvmsg, sendmsg } from './ffi.js';
import { SystemError } from './system-error.js';
import { Message, openSocket, sockaddrUn } from './unix-datagram.js';

/** Most bytes of the text that travels with descriptors. */
const MAX_TEXT = 65536;

export interface PassedDescriptors {
  text: string;
  /** The receiver closes them. */
  fds: number[];
}

/** Creates a socket at `path` that receives descriptors; the caller closes it and removes the file. @throws SystemError */
export function openDescriptorSocket(path: string): number {
  const fd = openSocket();
  const result = bind(fd, sockaddrUn(path));
  if (result >= 0) return fd;
  close(fd);
  throw new SystemError(`bind ${path}`, result);
}

/** Sends descriptors, which stay open here, to the socket at `path`. @throws SystemError */
export function sendDescriptors(path: string, { text, fds }: PassedDescriptors): void {
  const payload = new TextEncoder().encode(text);
  if (payload.length > MAX_TEXT || fds.length > SCM_MAX_FD) throw new SystemError('sendmsg', -EMSGSIZE);
  const control = new DataView(new ArrayBuffer(CMSGHDR_SIZE + 4 * fds.length));
  control.setBigUint64(0, BigInt(control.byteLength), true);
  control.setInt32(8, SOL_SOCKET, true);
  control.setInt32(12, SCM_RIGHTS, true);
  for (const [index, fd] of fds.entries()) control.setInt32(CMSGHDR_SIZE + 4 * index, fd, true);
  const message = new Message(payload, new Uint8Array(control.buffer), sockaddrUn(path));
  const fd = openSocket();
  const result = sendmsg(fd, message.header, MSG_DONTWAIT);
  close(fd);
  if (result < 0) throw new SystemError(`sendmsg to ${path}`, result);
}

/** Returns what was sent to the socket; undefined if nothing is waiting. @throws SystemError; then nothing is open */
export function receiveDescriptors(fd: number): PassedDescriptors | undefined {
  const payload = new Uint8Array(MAX_TEXT);
  const control = new Uint8Array(CMSGHDR_SIZE + 4 * SCM_MAX_FD);
  const message = new Message(payload, control);
  const length = recvmsg(fd, message.header, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
  if (length === -EAGAIN) return undefined;
  if (length < 0) throw new SystemError('recvmsg', length);
  const fds = message.descriptors();
  if ((message.flags & (MSG_TRUNC | MSG_CTRUNC)) !== 0) {
    for (const received of fds) close(received);
    throw new SystemError('recvmsg', -EMSGSIZE);
  }
  return { text: new TextDecoder().decode(payload.subarray(0, length)), fds };
}
