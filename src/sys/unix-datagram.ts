/** Unix datagram sockets (unix(7)), which Node.js does not have. */

import {
  AF_UNIX,
  CMSGHDR_SIZE,
  IOVEC_SIZE,
  MSGHDR_CONTROL,
  MSGHDR_CONTROLLEN,
  MSGHDR_FLAGS,
  MSGHDR_IOV,
  MSGHDR_IOVLEN,
  MSGHDR_NAME,
  MSGHDR_NAMELEN,
  MSGHDR_SIZE,
  SCM_RIGHTS,
  SO_SNDTIMEO,
  SOCK_CLOEXEC,
  SOCK_DGRAM,
  SOCKADDR_UN_SIZE,
  SOL_SOCKET,
  TIMEVAL_SIZE,
} from './constants.js';
import { EMSGSIZE } from './errno.js';
import { addressOf, close, sendmsg, setsockopt, socket } from './ffi.js';
import { SystemError } from './system-error.js';

const NO_CONTROL = new Uint8Array(CMSGHDR_SIZE);

/**
 * Sends a text to a socket, and waits at most `waitMs` while its queue is full. `name` is a path, or NUL and an abstract
 * name. @throws SystemError
 */
export function sendText(name: string, text: string, waitMs: number): void {
  const message = new Message(new TextEncoder().encode(text), NO_CONTROL, sockaddrUn(name));
  const timeout = new BigInt64Array(TIMEVAL_SIZE / 8);
  timeout.set([BigInt(Math.floor(waitMs / 1000)), BigInt((waitMs % 1000) * 1000)]);
  const fd = openSocket();
  setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, new Uint8Array(timeout.buffer));
  const result = sendmsg(fd, message.header, 0);
  close(fd);
  if (result < 0) throw new SystemError(`sendmsg to ${name.replace('\0', '@')}`, result);
}

/** A struct msghdr with one piece of data and one control message. */
export class Message {
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

/** @throws SystemError */
export function openSocket(): number {
  const fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) throw new SystemError('socket', fd);
  return fd;
}

/**
 * Returns the struct sockaddr_un of a path, or of NUL and an abstract name. @throws SystemError for a name that is too
 * long
 */
export function sockaddrUn(name: string): Uint8Array {
  const address = new Uint8Array(SOCKADDR_UN_SIZE);
  new DataView(address.buffer).setUint16(0, AF_UNIX, true);
  const bytes = new TextEncoder().encode(name);
  if (bytes.length > SOCKADDR_UN_SIZE - 3) throw new SystemError(`bind ${name}`, -EMSGSIZE);
  address.set(bytes, 2);
  // An abstract name has no end mark: its length counts.
  return name.startsWith('\0') ? address.subarray(0, 2 + bytes.length) : address;
}
