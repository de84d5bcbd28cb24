/** Limits the connections of a server for which it waits: clients that connect and send no request. */

import type { Socket } from 'node:net';

export class ConnectionLimit {
  private readonly most: number;
  /** Oldest first. */
  private readonly waiting = new Set<Socket>();

  constructor(most: number) {
    this.most = most;
  }

  /**
   * Adds a connection. If there are too many, the oldest is closed, so that a new client is always heard. libuv accepts one
   * connection per round of I/O, so the requests of earlier connections have been read.
   */
  add(socket: Socket): void {
    this.waiting.add(socket);
    socket.once('close', () => this.remove(socket));
    if (this.waiting.size <= this.most) return;
    const [oldest] = this.waiting;
    this.remove(oldest);
    oldest.destroy();
  }

  /** Removes a connection whose request has arrived. */
  remove(socket: Socket): void {
    this.waiting.delete(socket);
  }
}
