/**
 * A datagram every millisecond, and the longest time for which none got through.
 *
 * Use: ticks.js receive PORT ADDRESS    prints `listening`, `first` when one arrives, and on SIGINT `longest N ms, N received`
 *      ticks.js send PORT ADDRESS       until it is killed
 *
 * A datagram carries its number and the time it was sent. So a sender that is not scheduled does not count as an outage.
 */

import { createSocket } from 'node:dgram';

const EVERY_MS = 1;

const [role, port = '', address = ''] = process.argv.slice(2);
const socket = createSocket('udp4');

/** Milliseconds of the machine's monotonic clock, which all processes share. */
function now(): number {
  return Number(process.hrtime.bigint() / 1000n) / 1000;
}

if (role === 'send') {
  let number = 0;
  const bytes = Buffer.alloc(16);
  socket.on('error', () => undefined);
  setInterval(() => {
    bytes.writeDoubleBE(number++, 0);
    bytes.writeDoubleBE(now(), 8);
    socket.send(Buffer.from(bytes), Number(port), address, () => undefined);
  }, EVERY_MS);
} else {
  let longest = 0;
  let received = 0;
  let last = { number: 0, sent: 0 };
  socket.on('message', (bytes) => {
    const [number, sent] = [bytes.readDoubleBE(0), bytes.readDoubleBE(8)];
    const delay = now() - sent;
    const lost = received > 0 && number > last.number + 1 ? sent - last.sent : 0;
    longest = Math.max(longest, delay + lost);
    last = { number, sent };
    if (received++ === 0) console.log('first');
  });
  process.on('SIGINT', () => {
    console.log(`longest ${longest.toFixed(1)} ms, ${received} received`);
    process.exit();
  });
  socket.bind(Number(port), address, () => console.log('listening'));
}
