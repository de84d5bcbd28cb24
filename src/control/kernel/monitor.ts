/** What changes on this machine, as `ip monitor` tells it. */

import { type ChildProcess, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { warn } from '../support/log.js';

/** How long to wait before a monitor that ended is started again: from, and, while it ends at once, doubling, to. */
const RESTART_FIRST_MS = 250;
const RESTART_LAST_MS = 30_000;
/** One that has run this long has not ended at once. */
const STEADY_MS = 10_000;

/** A change as iproute2 prints it. */
export interface Change {
  /** LINK, ADDR, ROUTE, RULE or NEIGH. */
  kind: string;
  text: string;
}

export interface MonitorEvents {
  onChange(change: Change): void;
  /** It listens from about now on, and has told nothing of what happened before. */
  onStart(): void;
}

/** Tells every change of links, addresses, routes, rules and neighbours, until it is closed. */
export class Monitor {
  private readonly events: MonitorEvents;
  private child: ChildProcess | undefined;
  private restart: NodeJS.Timeout | undefined;
  private restartMs = RESTART_FIRST_MS;
  private closed = false;

  constructor(events: MonitorEvents) {
    this.events = events;
    this.start();
  }

  close(): void {
    this.closed = true;
    clearTimeout(this.restart);
    this.child?.kill();
  }

  private start(): void {
    const child = spawn('ip', ['-oneline', 'monitor', 'label', 'link', 'address', 'route', 'rule', 'neigh'], {
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    const since = performance.now();
    this.child = child;
    createInterface({ input: child.stdout }).on('line', (line) => {
      const [, kind = '', text = ''] = /^\[(\w+)\](.*)$/.exec(line) ?? [];
      this.events.onChange({ kind, text });
    });
    // A command that cannot be run closes too.
    child.on('error', () => {});
    child.on('close', (code, signal) => {
      if (this.closed) return;
      if (performance.now() - since > STEADY_MS) this.restartMs = RESTART_FIRST_MS;
      warn(`ip monitor ended (${signal ?? `exit code ${code}`}); starting it again`);
      this.restart = setTimeout(() => this.start(), this.restartMs);
      this.restartMs = Math.min(this.restartMs * 2, RESTART_LAST_MS);
    });
    this.events.onStart();
  }
}
