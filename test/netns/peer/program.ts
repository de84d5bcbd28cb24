/**
 * The program of every hand-made peer: node:dgram on a peer node's address. It gets datagrams to send over the IPC
 * channel and reports received ones. It answers echo requests for its own addresses.
 *
 * Its argument is a VtepOptions as JSON.
 */

import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import type { VtepOptions, VtepReport, VtepRequest } from './handmade.js';
import { IP_TOS, UdpSocket } from './udp-socket.js';

export const options = JSON.parse(process.argv[2] ?? '{}') as VtepOptions;

/** The answer to a datagram, and the port of the peer's address to send it to. */
export interface Answer {
  readonly datagram: Buffer;
  readonly port: number;
}

const sockets = new Map<string, Socket>();

function tell(report: VtepReport): void {
  process.send?.(report);
}

/** Runs until the test disconnects; `answer` returns the reply to a datagram from `port`, if it needs one. */
export async function runPeer(
  defaultPort: number,
  answer: (datagram: Buffer, port: number) => Answer | undefined,
): Promise<void> {
  const own = options.port ?? defaultPort;

  async function socketAt(address: string, port: number): Promise<Socket> {
    const key = `${address}:${port}`;
    const existing = sockets.get(key);
    if (existing !== undefined) return existing;
    const socket = createSocket(address.includes(':') ? 'udp6' : 'udp4');
    sockets.set(key, socket);
    socket.on('message', (message, from) => {
      tell({ received: { hex: message.toString('hex'), from: from.address, port: from.port } });
      const reply = answer(message, from.port);
      if (reply !== undefined) socket.send(reply.datagram, reply.port, from.address);
    });
    socket.bind(port, address);
    await once(socket, 'listening');
    return socket;
  }

  async function send(request: VtepRequest): Promise<void> {
    const { id, hex, to, port, from, times = 1, tos } = request;
    if (tos !== undefined) {
      sendMarked(request);
      return tell({ done: id });
    }
    const socket = await socketAt(from?.address ?? options.address, from?.port ?? own);
    const datagram = Buffer.from(hex, 'hex');
    for (let i = 0; i < times; i++) {
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
  await socketAt(options.address, own);
  tell({ ready: true });
}

/** Sends with a type of service, which node:dgram cannot set. */
function sendMarked({ hex, to, port, from, tos = 0, times = 1 }: VtepRequest): void {
  const socket = new UdpSocket(to, port, from?.address ?? options.address);
  socket.set(IP_TOS, tos);
  for (let i = 0; i < times; i++) socket.send(Buffer.from(hex, 'hex'));
  socket.close();
}
