/**
 * A VTEP made by hand: node:dgram on a peer node's address, told over the process's IPC channel what to send, telling what
 * it receives. Echo requests for its own addresses it answers itself.
 *
 * Started by handmade.ts; its one argument is a VtepOptions as JSON.
 */

import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { echoIn, ethernet, icmpEcho, ipv4, vxlan } from './frames.js';
import type { VtepOptions, VtepReport, VtepRequest } from './handmade.js';
import { IP_TOS, UdpSocket } from './udp-socket.js';

const options = JSON.parse(process.argv[2] ?? '{}') as VtepOptions;
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
    const echo = echoIn(message.subarray(8));
    if (echo?.type !== 8 || !options.answers.includes(echo.to)) return;
    const reply = ipv4(echo.to, echo.from, 1, icmpEcho(0, echo.id, echo.sequence, echo.data));
    const datagram = vxlan(ethernet(echo.sourceMac, options.mac, 0x0800, reply), { vni: options.vni ?? 1 });
    socket.send(datagram, options.port ?? 8472, from.address);
  });
  socket.bind(port, address);
  await once(socket, 'listening');
  return socket;
}

/** Sends with a type of service, which node:dgram cannot set. */
function sendMarked({ hex, to, port, from, tos = 0, times = 1 }: VtepRequest): void {
  const socket = new UdpSocket(to, port, from?.address ?? options.address);
  socket.set(IP_TOS, tos);
  for (let i = 0; i < times; i++) socket.send(Buffer.from(hex, 'hex'));
  socket.close();
}

async function send(request: VtepRequest): Promise<void> {
  const { id, hex, to, port, from, times, tos } = request;
  if (tos !== undefined) {
    sendMarked(request);
    return tell({ done: id });
  }
  const socket = await socketAt(from?.address ?? options.address, from?.port ?? options.port ?? 8472);
  const datagram = Buffer.from(hex, 'hex');
  for (let i = 0; i < (times ?? 1); i++) {
    await new Promise<void>((resolve, reject) => {
      socket.send(datagram, port, to, (error) => (error === null ? resolve() : reject(error)));
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
await socketAt(options.address, options.port ?? 8472);
tell({ ready: true });
