/**
 * Open files for another process, by SCM_RIGHTS over a Unix datagram socket (unix(7)). Both processes then use the same
 * queue of a device and the same socket: what waits in it stays, and either process can read it.
 */

import {
  AF_UNIX,
  CMSGHDR_SIZE,
  IOVEC_SIZE,
  MSG_CMSG_CLOEXEC,
  MSG_CTRUNC,
  MSG_DONTWAIT,
  MSG_TRUNC,
  MSGHDR_CONTROL,
  MSGHDR_CONTROLLEN,
  MSGHDR_FLAGS,
  MSGHDR_IOV,
  MSGHDR_IOVLEN,
  MSGHDR_NAME,
  MSGHDR_NAMELEN,
  MSGHDR_SIZE,
  SCM_MAX_FD,
  SCM_RIGHTS,
  SOCK_CLOEXEC,
  SOCK_DGRAM,
  SOCKADDR_UN_SIZE,
  SOL_SOCKET,
} from './constants.js';
import { EAGAIN, EMSGSIZE } from './errno.js';
import { addressOf, bind, close, recvmsg, sendmsg, socket } from './ffi.js';
import { SystemError } from './system-error.js';

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

/** A struct msghdr with one piece of data and one control message. */
class Message {
  readonly header = new Uint8Array(MSGHDR_SIZE);
  private readonly view = new DataView(this.header.buffer);
  private readonly iovec = new BigUint64Array(IOVEC_SIZE / 8);
  private readonly control: Uint8Array;
  /** Memory whose addresses the header has: it lives as long as the message. */
  readonly memory: readonly unknown[];

  constructor(payload: Uint8Array, control: Uint8Array, name?: Uint8Array) {
    this.control = control;
    this.memory = [payload, name];
    this.iovec.set([addressOf(payload), BigInt(payload.length)]);
    const { view } = this;
    if (name !== undefined) {
      view.setBigUint64(MSGHDR_NAME, addressOf(name), true);
      view.setUint32(MSGHDR_NAMELEN, name.length, true);
    }
    view.setBigUint64(MSGHDR_IOV, addressOf(new Uint8Array(this.iovec.buffer)), true);
    view.setBigUint64(MSGHDR_IOVLEN, 1n, true);
    if (control.length === CMSGHDR_SIZE) return;
    view.setBigUint64(MSGHDR_CONTROL, addressOf(control), true);
    view.setBigUint64(MSGHDR_CONTROLLEN, BigInt(control.length), true);
  }

  /** What recvmsg reported about the message. */
  get flags(): number {
    return this.view.getInt32(MSGHDR_FLAGS, true);
  }

  /** Returns the descriptors of a received control message. */
  descriptors(): number[] {
    if (Number(this.view.getBigUint64(MSGHDR_CONTROLLEN, true)) < CMSGHDR_SIZE) return [];
    const control = new DataView(this.control.buffer);
    if (control.getInt32(8, true) !== SOL_SOCKET || control.getInt32(12, true) !== SCM_RIGHTS) return [];
    const length = Number(control.getBigUint64(0, true)) - CMSGHDR_SIZE;
    return Array.from({ length: length / 4 }, (_, index) => control.getInt32(CMSGHDR_SIZE + 4 * index, true));
  }
}

function openSocket(): number {
  const fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) throw new SystemError('socket', fd);
  return fd;
}

/** Returns the struct sockaddr_un of a path. @throws SystemError for a path that is too long */
function sockaddrUn(path: string): Uint8Array {
  const address = new Uint8Array(SOCKADDR_UN_SIZE);
  new DataView(address.buffer).setUint16(0, AF_UNIX, true);
  const bytes = new TextEncoder().encode(path);
  if (bytes.length > SOCKADDR_UN_SIZE - 3) throw new SystemError(`bind ${path}`, -EMSGSIZE);
  address.set(bytes, 2);
  return address;
}
