/**
 * Numbered UDP datagrams whose every byte follows from the number.
 *
 * Use: datagrams.js receive PORT COUNT SIZE       prints `listening`, then how many came whole, how many did not
 *      datagrams.js send HOST PORT COUNT SIZE     sends them in superpackets, by UDP_SEGMENT (linux/udp.h, 4.18), as QUIC
 *                                                 libraries do; node:dgram cannot, hence koffi
 */

import { createSocket } from 'node:dgram';
import koffi from 'koffi';

/** Datagrams a superpacket: as many as fit into 64 KB, and no more than UDP_MAX_SEGMENTS of every kernel. */
const SEGMENTS = 40;
/** How long the receiver waits for what is still missing. */
const PATIENCE_MS = 3000;

function datagram(number: number, size: number): Buffer {
  const bytes = Buffer.alloc(size);
  for (let i = 0; i < size; i++) bytes[i] = (number * 31 + i * 7) & 0xff;
  bytes.writeUInt32BE(number);
  return bytes;
}

function receive(port: number, count: number, size: number): void {
  const missing = new Set(Array.from({ length: count }, (_, number) => number));
  let damaged = 0;
  const socket = createSocket({ type: 'udp4', recvBufferSize: 4 << 20 });
  const finish = () => {
    socket.close();
    clearTimeout(timer);
    console.log(`whole ${count - missing.size} damaged ${damaged}`);
  };
  const timer = setTimeout(finish, PATIENCE_MS);
  socket.on('message', (message) => {
    const number = message.length >= 4 ? message.readUInt32BE() : -1;
    if (!message.equals(datagram(number, size))) damaged++;
    else missing.delete(number);
    if (missing.size === 0) finish();
  });
  socket.bind(port, () => console.log('listening'));
}

/** `host` is IPv4. The structures are those of linux/in.h and asm-generic/socket.h. */
function send(host: string, port: number, count: number, size: number): void {
  const AF_INET = 2;
  const SOCK_DGRAM = 2;
  const SOL_UDP = 17;
  const UDP_SEGMENT = 103;
  const libc = koffi.load(null);
  const socket = libc.func('int socket(int domain, int type, int protocol)');
  const setsockopt = libc.func('int setsockopt(int fd, int level, int name, void *value, uint32_t length)');
  const sendto = libc.func(
    'long sendto(int fd, void *buffer, size_t length, int flags, void *address, uint32_t addressLength)',
  );
  const fd = socket(AF_INET, SOCK_DGRAM, 0) as number;
  const segment = Buffer.from(new Int32Array([size]).buffer);
  if ((setsockopt(fd, SOL_UDP, UDP_SEGMENT, segment, 4) as number) < 0)
    throw new Error('UDP_SEGMENT refused');
  const address = Buffer.alloc(16);
  address.writeUInt16LE(AF_INET, 0);
  address.writeUInt16BE(port, 2);
  Buffer.from(host.split('.').map(Number)).copy(address, 4);
  for (let first = 0; first < count; first += SEGMENTS) {
    const numbers = Array.from({ length: Math.min(SEGMENTS, count - first) }, (_, index) => first + index);
    const burst = Buffer.concat(numbers.map((number) => datagram(number, size)));
    const sent = sendto(fd, burst, burst.length, 0, address, address.length) as number;
    if (sent !== burst.length) throw new Error(`sendto: ${sent} of ${burst.length}, errno ${koffi.errno()}`);
  }
}

const [mode, ...args] = process.argv.slice(2);
if (mode === 'receive') receive(Number(args[0]), Number(args[1]), Number(args[2]));
else send(args[0] ?? '', Number(args[1]), Number(args[2]), Number(args[3]));
