/**
 * The kernel's side of the two ports: a device queue and UDP sockets that live in this process. The structures are laid
 * out as in linux/uio.h, linux/socket.h and linux/in.h of a 64-bit little-endian machine.
 */

import type { GuardedArena } from './guards.js';

const EAGAIN = 11;
const EINVAL = 22;
const EHOSTUNREACH = 113;
const ENOBUFS = 105;
const EINTR = 4;
const EIO = 5;
const MSG_TRUNC = 0x20;
const SOL_UDP = 17;
const UDP_SEGMENT = 103;
const UDP_GRO = 104;
/** IP_TOS and IPV6_TCLASS. */
const TOS = { ipv4: { level: 0, type: 1 }, ipv6: { level: 41, type: 67 } };

/** A message that waits at the receiving socket. */
export interface Message {
  source: Uint8Array;
  /** TOS or traffic class of the outer header. */
  tos: number;
  /** UDP_GRO: bytes of each datagram; 0 for a single datagram. */
  gro: number;
  data: Uint8Array;
}

export interface DeviceWrite {
  data: Uint8Array;
  /** 0 for a write that the device accepted. */
  errno: number;
}

export interface SentMessage {
  socket: number;
  /** Peer's address as in the sockaddr, and port. */
  address: Uint8Array;
  port: number;
  tos: number;
  /** UDP_SEGMENT; 0 without. */
  segment: number;
  data: Uint8Array;
}

/** What the kernel refuses in a case. */
export interface Faults {
  /** Whether superpackets are refused by the device, and one of how many other writes finds it full; 0: none. */
  refuseSuperpackets: boolean;
  deviceFullOneIn: number;
  /** One of how many send calls is refused; 0: none. */
  sendOneIn: number;
  /** One of how many reads of the device fails while frames wait; 0: none. */
  readOneIn: number;
}

export const NO_FAULTS: Faults = {
  refuseSuperpackets: false,
  deviceFullOneIn: 0,
  sendOneIn: 0,
  readOneIn: 0,
};

/** A violation of the kernel's interface by the dataplane. */
export class KernelError extends Error {}

export class FakeKernel {
  readonly frames: Uint8Array[] = [];
  readonly messages: Message[] = [];
  /** What each read of the device returned: a frame, or an errno. */
  readonly reads: (Uint8Array | number)[] = [];
  readonly writes: DeviceWrite[] = [];
  readonly sent: SentMessage[] = [];
  faults = NO_FAULTS;
  /** Returns a number below its argument. */
  below: (limit: number) => number = () => 0;
  private readonly arena: GuardedArena;
  private readonly vnetLength: number;
  private readonly v6: boolean;
  /** Descriptors of the transmit sockets, by their number. */
  private readonly sockets: readonly number[];

  constructor(arena: GuardedArena, options: { vnetLength: number; v6: boolean; sockets: readonly number[] }) {
    this.arena = arena;
    this.vnetLength = options.vnetLength;
    this.v6 = options.v6;
    this.sockets = options.sockets;
  }

  /** read(2) of the device. */
  readonly read = (_fd: number, buffer: bigint, length: number): number => {
    const { readOneIn } = this.faults;
    const fails = this.frames.length > 0 && readOneIn > 0 && this.below(readOneIn) === 0;
    const frame = fails ? undefined : this.frames.shift();
    if (frame === undefined) {
      const errno = fails ? ([EINTR, EINVAL, EIO, ENOBUFS, EAGAIN][this.below(5)] ?? EAGAIN) : EAGAIN;
      this.reads.push(errno);
      return -errno;
    }
    this.reads.push(frame);
    const at = this.offset(Number(buffer), length);
    const stored = Math.min(frame.length, length);
    // The tunnel header grows into the headroom, which the virtio-net header occupies at first.
    const headroom = this.vnetLength > 0 ? 0 : 8;
    this.arena.guardAround(at - headroom, at + stored, 96);
    this.arena.bytes.fill(0x5a, at - headroom, at);
    this.arena.bytes.set(frame.subarray(0, stored), at);
    return stored;
  };

  /** writev(2) to the device. */
  readonly writev = (_fd: number, vector: bigint, count: number): number => {
    const data = this.gather(this.offset(Number(vector), count * 16), count);
    const { faults } = this;
    const isSuperpacket = this.vnetLength > 0 && data[1] !== 0;
    let errno = 0;
    if (isSuperpacket && faults.refuseSuperpackets) errno = EINVAL;
    else if (faults.deviceFullOneIn > 0 && this.below(faults.deviceFullOneIn) === 0) errno = EAGAIN;
    this.writes.push({ data, errno });
    return errno === 0 ? data.length : -errno;
  };

  /** recvmmsg(2). */
  readonly recvmmsg = (_fd: number, messages: bigint, count: number): number => {
    const first = this.offset(Number(messages), count * 64);
    let received = 0;
    for (; received < count; received++) {
      const message = this.messages.shift();
      if (message === undefined) break;
      this.deliver(first + received * 64, message);
    }
    return received === 0 ? -EAGAIN : received;
  };

  /** sendmmsg(2). */
  readonly sendmmsg = (fd: number, messages: bigint, count: number): number => {
    const socket = this.sockets.indexOf(fd);
    if (socket < 0) throw new KernelError(`descriptor ${fd} is no transmit socket`);
    if (count < 1 || count > 1024) throw new KernelError(`sendmmsg of ${count} messages`);
    const first = this.offset(Number(messages), count * 64);
    const { sendOneIn } = this.faults;
    for (let i = 0; i < count; i++) {
      const message = this.messageAt(first + i * 64, socket);
      if (sendOneIn > 0 && this.below(sendOneIn) === 0) {
        if (i > 0) return i;
        return -[EINVAL, EIO, EHOSTUNREACH, ENOBUFS, EAGAIN][this.below(5)];
      }
      this.sent.push(message);
    }
    return count;
  };

  private deliver(at: number, message: Message): void {
    const { words, bytes, view } = this.arena;
    const nameSize = this.v6 ? 28 : 16;
    if (words[(at + 8) >> 2] !== nameSize) throw new KernelError(`msg_namelen ${words[(at + 8) >> 2]}`);
    const name = this.pointer(at, nameSize);
    bytes.fill(0, name, name + nameSize);
    view.setUint16(name, this.v6 ? 10 : 2, true);
    view.setUint16(name + 2, 40_000);
    bytes.set(message.source, name + (this.v6 ? 8 : 4));
    const [buffer, size] = this.iovec(this.pointer(at + 16, 16));
    const stored = Math.min(size, message.data.length);
    this.arena.guardAround(buffer, buffer + stored, 64);
    bytes.set(message.data.subarray(0, stored), buffer);
    words[(at + 56) >> 2] = stored;
    words[(at + 48) >> 2] = stored < message.data.length ? MSG_TRUNC : 0;
    this.writeControl(at, message);
  }

  private writeControl(at: number, message: Message): void {
    const { words } = this.arena;
    const room = words[(at + 40) >> 2];
    if (room < 48) throw new KernelError(`msg_controllen ${room} of a message to receive`);
    let control = this.pointer(at + 32, room);
    const start = control;
    if (message.gro > 0) {
      this.cmsg(control, SOL_UDP, UDP_GRO, 4);
      words[(control + 16) >> 2] = message.gro;
      control += 24;
    }
    const { level, type } = this.v6 ? TOS.ipv6 : TOS.ipv4;
    this.cmsg(control, level, type, this.v6 ? 4 : 1);
    words[(control + 16) >> 2] = message.tos;
    control += 24;
    words[(at + 40) >> 2] = control - start;
  }

  private cmsg(at: number, level: number, type: number, length: number): void {
    const { words } = this.arena;
    words[at >> 2] = 16 + length;
    words[(at >> 2) + 1] = 0;
    words[(at >> 2) + 2] = level;
    words[(at >> 2) + 3] = type;
  }

  private messageAt(at: number, socket: number): SentMessage {
    const { words, bytes, view } = this.arena;
    const nameSize = this.v6 ? 28 : 16;
    if (words[(at + 8) >> 2] !== nameSize) throw new KernelError(`msg_namelen ${words[(at + 8) >> 2]}`);
    const name = this.pointer(at, nameSize);
    if (view.getUint16(name, true) !== (this.v6 ? 10 : 2)) throw new KernelError('wrong address family');
    const address = bytes.slice(name + (this.v6 ? 8 : 4), name + (this.v6 ? 24 : 8));
    const pieces = words[(at + 24) >> 2];
    if (pieces < 1 || pieces > 1024) throw new KernelError(`msg_iovlen ${pieces}: UIO_MAXIOV is 1024`);
    const data = this.gather(this.pointer(at + 16, pieces * 16), pieces);
    const message = { socket, address, port: view.getUint16(name + 2), tos: 0, segment: 0, data };
    this.readControl(at, message);
    return message;
  }

  private readControl(at: number, message: SentMessage): void {
    const { words, view } = this.arena;
    const length = words[(at + 40) >> 2];
    if (length === 0) return;
    const start = this.pointer(at + 32, length);
    const { level, type } = this.v6 ? TOS.ipv6 : TOS.ipv4;
    for (let control = start; control + 16 <= start + length; ) {
      const [size, , cmsgLevel, cmsgType] = words.subarray(control >> 2, (control >> 2) + 4);
      if (cmsgLevel === SOL_UDP && cmsgType === UDP_SEGMENT && size === 18)
        message.segment = view.getUint16(control + 16, true);
      else if (cmsgLevel === level && cmsgType === type && size === 20)
        message.tos = words[(control + 16) >> 2];
      else
        throw new KernelError(`control message of level ${cmsgLevel}, type ${cmsgType} and length ${size}`);
      control += Math.ceil(size / 8) * 8;
    }
  }

  /** Returns the bytes of `count` iovecs. */
  private gather(iovecs: number, count: number): Uint8Array {
    let length = 0;
    for (let i = 0; i < count; i++) length += this.arena.words[(iovecs + i * 16 + 8) >> 2];
    if (length < 0 || length > 2 ** 20) throw new KernelError(`${length} bytes in ${count} pieces`);
    const data = new Uint8Array(length);
    let to = 0;
    for (let i = 0; i < count; i++) {
      const [at, size] = this.iovec(iovecs + i * 16);
      data.set(this.arena.bytes.subarray(at, at + size), to);
      to += size;
    }
    return data;
  }

  private iovec(at: number): [offset: number, length: number] {
    const { words } = this.arena;
    const length = words[(at + 8) >> 2];
    if (length < 0 || words[(at + 12) >> 2] !== 0) throw new KernelError(`iov_len ${length}`);
    return [this.pointer(at, length), length];
  }

  /** Returns the arena offset of the pointer at `at`, behind which `length` bytes are accessed. */
  private pointer(at: number, length: number): number {
    const { words } = this.arena;
    return this.offset((words[(at >> 2) + 1] >>> 0) * 2 ** 32 + (words[at >> 2] >>> 0), length);
  }

  private offset(address: number, length: number): number {
    const at = address - this.arena.base;
    if (at < 0 || at + length > this.arena.bytes.length)
      throw new KernelError(`EFAULT: ${length} bytes at offset ${at} of the arena`);
    return at;
  }
}
