/** Netlink (netlink(7)): requests with their answers, and attributes. All numbers are in host byte order. */

import {
  AF_NETLINK,
  NLM_F_ACK,
  NLM_F_DUMP,
  NLM_F_REQUEST,
  NLMSG_DONE,
  NLMSG_ERROR,
  NLMSG_HEADER_SIZE,
  O_NONBLOCK,
  SOCK_CLOEXEC,
  SOCK_RAW,
} from './constants.js';
import { addressOf, close, read, socket, write } from './ffi.js';
import { SystemError } from './system-error.js';

/** The kernel sends the parts of a dump in messages of at most this size (NLMSG_GOODSIZE and netlink_dump). */
const BUFFER_SIZE = 32 * 1024;
const TYPE_MASK = 0x3fff; // NLA_TYPE_MASK: without NLA_F_NESTED and NLA_F_NET_BYTEORDER

export interface Message {
  type: number;
  payload: Buffer;
}

function aligned(length: number): number {
  return (length + 3) & ~3;
}

/** Builds one message; `flags` beside NLM_F_REQUEST. */
export function message(type: number, flags: number, payload: Buffer): Buffer {
  const bytes = Buffer.alloc(aligned(NLMSG_HEADER_SIZE + payload.length));
  bytes.writeUInt32LE(NLMSG_HEADER_SIZE + payload.length, 0);
  bytes.writeUInt16LE(type, 4);
  bytes.writeUInt16LE(NLM_F_REQUEST | flags, 6);
  payload.copy(bytes, NLMSG_HEADER_SIZE);
  return bytes;
}

/** Builds an attribute: a number of 32 bits, a text with its final zero byte, or nested attributes. */
export function attribute(type: number, value: number | string | readonly Buffer[]): Buffer {
  const payload =
    typeof value === 'number'
      ? Buffer.from(new Uint32Array([value]).buffer)
      : typeof value === 'string'
        ? Buffer.from(`${value}\0`, 'latin1')
        : Buffer.concat(value);
  const bytes = Buffer.alloc(aligned(4 + payload.length));
  bytes.writeUInt16LE(4 + payload.length, 0);
  bytes.writeUInt16LE(type, 2);
  payload.copy(bytes, 4);
  return bytes;
}

/** Returns the values of the attributes in `bytes`, by type; it ends at damaged ones. */
export function attributesIn(bytes: Buffer): Map<number, Buffer> {
  const attributes = new Map<number, Buffer>();
  for (let at = 0; at + 4 <= bytes.length; ) {
    const length = bytes.readUInt16LE(at);
    if (length < 4 || at + length > bytes.length) break;
    attributes.set(bytes.readUInt16LE(at + 2) & TYPE_MASK, bytes.subarray(at + 4, at + length));
    at += aligned(length);
  }
  return attributes;
}

/** Returns the text of an attribute, without its final zero byte. */
export function textOf(value: Buffer | undefined): string {
  return value?.toString('latin1').replace(/\0.*$/s, '') ?? '';
}

/** Sends messages of one protocol and returns the answers. @throws SystemError, with the errno of the kernel's answer */
export function exchange(protocol: number, what: string, request: Buffer): Message[] {
  const fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | O_NONBLOCK, protocol);
  if (fd < 0) throw new SystemError(what, fd);
  try {
    // The kernel processes the request, and queues its answer, before the write returns.
    const written = write(fd, addressOf(request), request.length);
    if (written < 0) throw new SystemError(what, written);
    return readAnswers(fd, what, (request.readUInt16LE(6) & NLM_F_DUMP) === NLM_F_DUMP);
  } finally {
    close(fd);
  }
}

/** Sends a change and waits for its acknowledgement. @throws SystemError, with the errno of the kernel's answer */
export function change(protocol: number, what: string, type: number, flags: number, payload: Buffer): void {
  exchange(protocol, what, message(type, NLM_F_ACK | flags, payload));
}

/** Returns all objects that a dump lists. @throws SystemError */
export function dump(protocol: number, what: string, type: number, payload: Buffer): Buffer[] {
  return exchange(protocol, what, message(type, NLM_F_DUMP, payload)).map((answer) => answer.payload);
}

function readAnswers(fd: number, what: string, isDump: boolean): Message[] {
  const answers: Message[] = [];
  const buffer = Buffer.alloc(BUFFER_SIZE);
  for (;;) {
    const length = read(fd, addressOf(buffer), BUFFER_SIZE);
    if (length < 0) throw new SystemError(what, length);
    for (let at = 0; at + NLMSG_HEADER_SIZE <= length; at += aligned(buffer.readUInt32LE(at))) {
      const size = buffer.readUInt32LE(at);
      if (size < NLMSG_HEADER_SIZE || at + size > length) return answers;
      const type = buffer.readUInt16LE(at + 4);
      if (type === NLMSG_DONE) return answers;
      if (type === NLMSG_ERROR) {
        const errno = buffer.readInt32LE(at + NLMSG_HEADER_SIZE);
        if (errno < 0) throw new SystemError(what, errno);
        return answers;
      }
      answers.push({ type, payload: Buffer.from(buffer.subarray(at + NLMSG_HEADER_SIZE, at + size)) });
    }
    if (!isDump && answers.length > 0) return answers;
  }
}
