/**
 * The two ends of the figure 'restart': numbered datagrams at a steady rate. Each end prints its count on SIGTERM.
 *
 * Use: node stream.js send PORT ADDRESS RATE · node stream.js receive PORT
 */

import { createSocket } from 'node:dgram';

const [role, port = '', address = '', rate = '1000'] = process.argv.slice(2);
const socket = createSocket('udp4');
let count = 0;

if (role === 'send') {
  // While a tunnel is down the node may answer "unreachable"; sending continues.
  socket.on('error', () => undefined);
  const startedAt = performance.now();
  setInterval(() => {
    const due = ((performance.now() - startedAt) / 1000) * Number(rate);
    for (; count < due; count++) socket.send(String(count), Number(port), address, () => undefined);
  }, 1);
  console.log('sending');
} else {
  // Far more than the figure sends while this process waits for its turn.
  socket.bind(Number(port), () => {
    socket.setRecvBufferSize(1 << 20);
    console.log('receiving');
  });
  socket.on('message', () => count++);
}
process.on('SIGTERM', () => {
  console.log(`counted ${count}`);
  process.exit();
});
