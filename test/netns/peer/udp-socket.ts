/**
 * A UDP socket with options that node:dgram lacks, through koffi. The structures are those of linux/in.h,
 * linux/in6.h and asm-generic/socket.h.
 */

import { isIPv6 } from 'node:net';
import koffi from 'koffi';

const AF_INET = 2;
const AF_INET6 = 10;
const SOCK_DGRAM = 2;
const SOL_SOCKET = 1;
const SO_RCVTIMEO = 20;

/** Type of service of what is sent, ECN included (linux/in.h). */
export const IP_TOS = { level: 0, name: 1 };
/** Size of the datagrams that the bytes of one call form (linux/udp.h, since 4.18). */
export const UDP_SEGMENT = { level: 17, name: 103 };

const libc = koffi.load(null);
const cSocket = libc.func('int socket(int domain, int type, int protocol)');
const cBind = libc.func('int bind(int fd, void *address, uint32_t length)');
const cSetsockopt = libc.func('int setsockopt(int fd, int level, int name, void *value, uint32_t length)');
const cSendto = libc.func(
  'long sendto(int fd, void *buffer, size_t length, int flags, void *address, uint32_t addressLength)',
);
const cRecv = libc.func('long recv(int fd, _Out_ void *buffer, size_t length, int flags)');
const cClose = libc.func('int close(int fd)');

/** Returns a sockaddr_in or sockaddr_in6. */
function sockaddr(address: string, port: number): Buffer {
  const ipv6 = isIPv6(address);
  const bytes = Buffer.alloc(ipv6 ? 28 : 16);
  bytes.writeUInt16LE(ipv6 ? AF_INET6 : AF_INET, 0);
  bytes.writeUInt16BE(port, 2);
  if (ipv6) ipv6Bytes(address).copy(bytes, 8);
  else Buffer.from(address.split('.').map(Number)).copy(bytes, 4);
  return bytes;
}

function ipv6Bytes(address: string): Buffer {
  const [before = [], after = []] = address
    .split('::')
    .map((half) => half.split(':').filter((group) => group !== ''));
  const zeros = Array.from({ length: 8 - before.length - after.length }, () => '0');
  const groups = [...before, ...zeros, ...after].map((group) => group.padStart(4, '0'));
  return Buffer.from(groups.join(''), 'hex');
}

function check(what: string, result: number): number {
  if (result < 0) throw new Error(`${what}: errno ${koffi.errno()}`);
  return result;
}

export class UdpSocket {
  private readonly fd: number;
  private readonly target: Buffer;

  /** Sends to `address` and `port`, from `source` or an address that the kernel chooses. */
  constructor(address: string, port: number, source?: string) {
    this.fd = check('socket', cSocket(isIPv6(address) ? AF_INET6 : AF_INET, SOCK_DGRAM, 0) as number);
    this.target = sockaddr(address, port);
    if (source === undefined) return;
    const own = sockaddr(source, 0);
    check('bind', cBind(this.fd, own, own.length) as number);
  }

  set({ level, name }: { readonly level: number; readonly name: number }, value: number): void {
    this.setOption(level, name, Buffer.from(new Int32Array([value]).buffer));
  }

  private setOption(level: number, name: number, value: Buffer): void {
    check('setsockopt', cSetsockopt(this.fd, level, name, value, value.length) as number);
  }

  send(bytes: Buffer): void {
    check('sendto', cSendto(this.fd, bytes, bytes.length, 0, this.target, this.target.length) as number);
  }

  /** Waits for the next datagram; returns undefined if none arrives in time. */
  receive(patienceMs: number): Buffer | undefined {
    const patience = new BigInt64Array([
      BigInt(Math.floor(patienceMs / 1000)),
      BigInt(patienceMs % 1000) * 1000n,
    ]);
    this.setOption(SOL_SOCKET, SO_RCVTIMEO, Buffer.from(patience.buffer));
    const bytes = Buffer.alloc(2048);
    const length = cRecv(this.fd, bytes, bytes.length, 0) as number;
    return length < 0 ? undefined : bytes.subarray(0, length);
  }

  close(): void {
    cClose(this.fd);
  }
}
