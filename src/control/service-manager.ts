/**
 * What Weft tells the service manager that started it, by the socket in NOTIFY_SOCKET (sd_notify(3)). It tells when the
 * node is ready, and which process is the main one after a takeover. Without such a manager nothing is sent.
 */

import { sendText } from '../sys/unix-datagram.js';
import { warn } from './support/log.js';

/** Most that a message waits while the manager's queue is full. A lost one could end the unit. */
const WAIT_MS = 1000;

export class ServiceManager {
  /** The path, or NUL and an abstract name; undefined without a manager. */
  private readonly socket: string | undefined;
  /** Whether this is the unit's main process, and ready. The messages of any other process would concern that one. */
  private leads = false;

  /** `socket` is the value of NOTIFY_SOCKET: a path, or `@` and an abstract name. */
  constructor(socket: string | undefined) {
    this.socket = socket === undefined || socket === '' ? undefined : socket.replace(/^@/, '\0');
  }

  /** The node is ready, or goes on after a takeover that failed. */
  ready(): void {
    this.leads = true;
    this.send('READY=1');
  }

  /** A takeover begins. `ready` follows if it fails, else `handOver`. */
  reloading(): void {
    if (this.leads) this.send('RELOADING=1', `MONOTONIC_USEC=${process.hrtime.bigint() / 1000n}`);
  }

  /** A successor, whose devices and peers are set up, is the main process from now on. */
  handOver(pid: number): void {
    if (this.leads) this.send('READY=1', `MAINPID=${pid}`);
    this.leads = false;
  }

  /** The main process ends. */
  stopping(): void {
    if (this.leads) this.send('STOPPING=1');
    this.leads = false;
  }

  private send(...lines: string[]): void {
    if (this.socket === undefined) return;
    try {
      sendText(this.socket, lines.join('\n'), WAIT_MS);
    } catch (error) {
      warn(`the service manager was not told ${lines[0]}: ${(error as Error).message}`);
    }
  }
}
