/**
 * A peer of backend udp made by hand: node:dgram on a peer node's address, raw IPv4 packets in datagrams, told over the
 * process's IPC channel what to send, telling what it receives. Echo requests for its own addresses it answers itself.
 *
 * Started by handmade.ts; its one argument is a VtepOptions as JSON.
 */

import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { echoInPacket, icmpEcho, ipv4 } from './frames.js';
import type { VtepOptions, VtepReport, VtepRequest } from './handmade.js';

const options = JSON.parse(process.argv[2] ?? '{}') as VtepOptions;
const port = options.port ?? 8285;
const sockets = new Map<string, Socket>();

function tell(report: VtepReport): void {
  process.send?.(report);
}

async function socketAt(address: string, port: number): Promise<Socket> {
  const key = `${address}:${port}`;
  const existing = sockets.get(key);
  if (existing !== undefined) return existing;
  const socket = createSocket('udp4');
  sockets.set(key, socket);
  socket.on('message', (message, from) => {
    tell({ received: { hex: message.toString('hex'), from: from.address, port: from.port } });
    const echo = echoInPacket(message);
    if (echo?.type !== 8 || !options.answers.includes(echo.to)) return;
    const reply = icmpEcho(0, echo.id, echo.sequence, echo.data);
    socket.send(ipv4(echo.to, echo.from, 1, reply), from.port, from.address);
  });
  socket.bind(port, address);
  await once(socket, 'listening');
  return socket;
}

async function send({ id, hex, to, port: toPort, from, times = 1 }: VtepRequest): Promise<void> {
  const socket = await socketAt(from?.address ?? options.address, from?.port ?? port);
  for (let i = 0; i < times; i++) {
    await new Promise<void>((resolve, reject) => {
      socket.send(Buffer.from(hex, 'hex'), toPort, to, (error) =>
        error === null ? resolve() : reject(error),
      );
    });
  }
  tell({ done: id });
}

let work = Promise.resolve();
process.on('message', (request: VtepRequest) => {
  work = work
    .then(() => send(request))
    .catch((error: Error) => tell({ done: request.id, error: error.message }));
});
process.on('disconnect', () => process.exit());
await socketAt(options.address, port);
tell({ ready: true });
