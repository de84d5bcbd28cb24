/**
 * Numbered UDP datagrams; the number determines every byte.
 *
 * Use: datagrams.js receive ADDRESS PORT COUNT SIZE          prints `listening`, then how many arrived whole and damaged
 *      datagrams.js send ADDRESS PORT COUNT SIZE SEGMENTS    sends them, SEGMENTS per system call, and never more than
 *                                                            the receiver has acknowledged room for
 *      datagrams.js flood ADDRESS PORT COUNT SIZE SEGMENTS   sends them as fast as possible
 *
 * Several datagrams of a system call are a UDP_SEGMENT superpacket, as QUIC libraries send them.
 */

import { createSocket } from 'node:dgram';
import { isIPv6 } from 'node:net';
import { UDP_SEGMENT, UdpSocket } from './udp-socket.js';

/** Time that either side waits for missing datagrams. */
const PATIENCE_MS = 3000;
/** Most bytes in flight: a receive buffer of the default size holds them with the kernel's overhead. */
const WINDOW_BYTES = 160_000;
/** Most datagrams in flight: small ones have the kernel's overhead too. */
const WINDOW = 128;

function datagram(number: number, size: number): Buffer {
  const bytes = Buffer.alloc(size);
  for (let i = 0; i < size; i++) bytes[i] = (number * 31 + i * 7) & 0xff;
  bytes.writeUInt32BE(number);
  return bytes;
}

/** Returns the number of datagrams in flight; the receiver acknowledges four times per window. */
function windowOf(size: number): number {
  return Math.max(8, Math.min(WINDOW, Math.floor(WINDOW_BYTES / size)));
}

function receive(address: string, port: number, count: number, size: number): void {
  const missing = new Set(Array.from({ length: count }, (_, number) => number));
  const every = Math.floor(windowOf(size) / 4);
  let damaged = 0;
  const socket = createSocket({ type: isIPv6(address) ? 'udp6' : 'udp4', recvBufferSize: 4 << 20 });
  const finish = () => {
    socket.close();
    clearTimeout(timer);
    console.log(`whole ${count - missing.size} damaged ${damaged}`);
  };
  const timer = setTimeout(finish, PATIENCE_MS);
  socket.on('message', (message, from) => {
    const number = message.length >= 4 ? message.readUInt32BE() : -1;
    // A duplicate counts as damaged too.
    if (!message.equals(datagram(number, size)) || !missing.delete(number)) damaged++;
    timer.refresh();
    const got = count - missing.size;
    if (missing.size === 0) finish();
    else if (got % every === 0) socket.send(String(got), from.port, from.address);
  });
  socket.bind(port, address, () => console.log('listening'));
}

interface Sending {
  readonly address: string;
  readonly port: number;
  readonly count: number;
  readonly size: number;
  readonly segments: number;
  /** Whether to wait for the receiver's acknowledgements. */
  readonly paced: boolean;
}

function send({ address, port, count, size, segments, paced }: Sending): void {
  const socket = new UdpSocket(address, port);
  if (segments > 1) socket.set(UDP_SEGMENT, size);
  let received = 0;
  for (let first = 0; first < count; first += segments) {
    const numbers = Array.from({ length: Math.min(segments, count - first) }, (_, index) => first + index);
    while (paced && first + numbers.length - received > windowOf(size)) {
      const progress = socket.receive(PATIENCE_MS);
      // Something was lost, and the receiver counts it.
      if (progress === undefined) return;
      received = Number(progress.toString());
    }
    socket.send(Buffer.concat(numbers.map((number) => datagram(number, size))));
  }
}

const [mode, address = '', ...numbers] = process.argv.slice(2);
const [port = 0, count = 0, size = 0, segments = 1] = numbers.map(Number);
if (mode === 'receive') receive(address, port, count, size);
else send({ address, port, count, size, segments, paced: mode === 'send' });
