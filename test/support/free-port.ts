import { createSocket } from 'node:dgram';
import { once } from 'node:events';

/** A UDP port that nobody has on any loopback address right now. */
export async function freePort(address: string): Promise<number> {
  const socket = createSocket(address.includes(':') ? 'udp6' : 'udp4');
  socket.bind(0, address);
  await once(socket, 'listening');
  const { port } = socket.address();
  socket.close();
  await once(socket, 'close');
  return port;
}
