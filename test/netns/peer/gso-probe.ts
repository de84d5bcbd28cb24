/** Sends one GSO run of two datagrams to an address. Prints `sent`, or `refused` if the kernel answers EIO. */

import koffi from 'koffi';
import { UDP_SEGMENT, UdpSocket } from './udp-socket.js';

const EIO = 5;
const SIZE = 100;
const DISCARD_PORT = 9;

const socket = new UdpSocket(process.argv[2] ?? '', DISCARD_PORT);
socket.set(UDP_SEGMENT, SIZE);
try {
  socket.send(Buffer.alloc(2 * SIZE));
  console.log('sent');
} catch (error) {
  if (koffi.errno() !== EIO) throw error;
  console.log('refused');
}
