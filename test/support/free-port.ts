import { createSocket } from 'node:dgram';
import { once } from 'node:events';

/** Returns a UDP port that is free on this address. */
export async function freePort(address: string): Promise<number> {
  const socket = createSocket(address.includes(':') ? 'udp6' : 'udp4');
  socket.bind(0, address);
  await once(socket, 'listening');
  const { port } = socket.address();
  socket.close();
  await once(socket, 'close');
  return port;
}
