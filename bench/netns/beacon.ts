/**
 * The two ends of the figure 'start': one pod sends a datagram every 2 ms, another prints when the first one arrives.
 *
 * Use: node beacon.js send PORT ADDRESS · node beacon.js receive PORT
 */

import { createSocket } from 'node:dgram';

const EVERY_MS = 2;

const [role, port = '', address = ''] = process.argv.slice(2);
const socket = createSocket('udp4');

if (role === 'send') {
  // Before the tunnel is up the node answers "unreachable"; sending continues.
  socket.on('error', () => undefined);
  setInterval(() => socket.send('weft', Number(port), address, () => undefined), EVERY_MS);
  console.log('sending');
} else {
  socket.once('message', () => console.log(`first at ${process.hrtime.bigint()}`));
  socket.bind(Number(port), () => console.log('receiving'));
}
