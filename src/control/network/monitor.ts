/** What changes on this machine, as `ip monitor` tells it. */

import { type ChildProcess, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { warn } from '../log.js';

/** How long to wait before a monitor that ended is started again. */
const RESTART_MS = 1000;

/** Calls `onLine` for every change of links, addresses, routes and neighbours, from the moment it runs until it is closed. */
export class Monitor {
  private readonly onLine: (line: string) => void;
  private child: ChildProcess | undefined;
  private restart: NodeJS.Timeout | undefined;
  private closed = false;

  constructor(onLine: (line: string) => void) {
    this.onLine = onLine;
    this.start();
  }

  close(): void {
    this.closed = true;
    clearTimeout(this.restart);
    this.child?.kill();
  }

  private start(): void {
    const child = spawn('ip', ['-oneline', 'monitor', 'link', 'address', 'route', 'neigh'], {
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    this.child = child;
    createInterface({ input: child.stdout }).on('line', this.onLine);
    // A command that cannot be run closes too.
    child.on('error', () => {});
    child.on('close', (code, signal) => {
      if (this.closed) return;
      warn(`ip monitor ended (${signal ?? `exit code ${code}`}); starting it again`);
      this.restart = setTimeout(() => this.start(), RESTART_MS);
    });
  }
}
