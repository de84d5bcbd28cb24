/** A pair of connected sockets that keep packet boundaries: it acts like a TAP queue and needs no root. */

import koffi from 'koffi';
import { addressOf, read, write } from '../../src/sys/ffi.js';

// linux/socket.h, linux/net.h
const AF_UNIX = 1;
const SOCK_SEQPACKET = 5;
const SOCK_NONBLOCK = 0x800;
const SOCK_CLOEXEC = 0x80000;

const cSocketpair = koffi.load(null).func('int socketpair(int domain, int type, int protocol, void *fds)');

/** Returns two non-blocking descriptors, which the caller closes. */
export function socketpair(): [near: number, far: number] {
  const fds = new Int32Array(2);
  const result = cSocketpair(
    AF_UNIX,
    SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC,
    0,
    new Uint8Array(fds.buffer),
  ) as number;
  if (result < 0) throw new Error(`socketpair: errno ${koffi.errno()}`);
  return [fds[0], fds[1]];
}

const buffer = new Uint8Array(2 * 65536);

export function sendPacket(fd: number, packet: Uint8Array): void {
  const result = write(fd, addressOf(packet), packet.length);
  if (result !== packet.length) throw new Error(`write: ${result} of ${packet.length}`);
}

/** Returns the next packet; undefined if none waits. */
export function receivePacket(fd: number): Uint8Array | undefined {
  const length = read(fd, addressOf(buffer), buffer.length);
  return length < 0 ? undefined : buffer.slice(0, length);
}
