/** Kernel events, as `ip monitor` prints them: parsed once, into typed events. */

import { type ChildProcess, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { type Ip, parseIp } from '../addresses/ip.js';
import { Backoff } from '../support/backoff.js';
import { warn } from '../support/log.js';

/** Pauses before a monitor that ended is restarted. */
const RESTART = { firstMs: 250, mostMs: 30_000, jitter: false };
/** A monitor that has run this long is healthy: its next restart is quick again. */
const HEALTHY_MS = 10_000;

/**
 * A change of the kernel's state. iproute2 takes device names from a cache that it may have filled before a rename. For
 * links and addresses only the index is reliable.
 */
export type KernelEvent =
  | { kind: 'link'; index: number; name: string }
  | { kind: 'address'; index: number; address: Ip }
  | { kind: 'neighbour'; device: string }
  /** `destination` is in the form of `ip route`: `10.244.2.0/24`, `default`. */
  | { kind: 'route'; destination: string; device: string | undefined }
  | { kind: 'rule' };

/** Route types that `ip` prints before the destination; it omits `unicast` (iproute2, lib/rt_names and rtnl_rtntype_n2a). */
const ROUTE_TYPES =
  'local|broadcast|anycast|multicast|blackhole|unreachable|prohibit|throw|nat|xresolve|unicast';

const LINE = /^\[(\w+)\](?:Deleted )?(.*)$/;
const LINK = /^(\d+): ([^\s:]+?)(?:@[^\s:]+)?: /;
const ADDRESS = /^(\d+): .*? inet6? ([0-9a-f:.]+)/;
const DEVICE = /(?:^| )dev (\S+)/;
const ROUTE = new RegExp(`^(?:(?:${ROUTE_TYPES}) )?([0-9a-f:.]+(?:/\\d+)?|default)(?: |$)`);

/** Parses a line of `ip -oneline monitor label`; returns undefined for an object that Weft does not use. */
export function parseEvent(line: string): KernelEvent | undefined {
  const [, label, text = ''] = LINE.exec(line) ?? [];
  const device = DEVICE.exec(text)?.[1];
  switch (label) {
    case 'LINK': {
      const [, index, name] = LINK.exec(text) ?? [];
      return name === undefined ? undefined : { kind: 'link', index: Number(index), name };
    }
    case 'ADDR': {
      const [, index, digits = ''] = ADDRESS.exec(text) ?? [];
      const address = parseIp(digits);
      return address === undefined ? undefined : { kind: 'address', index: Number(index), address };
    }
    case 'NEIGH':
      return device === undefined ? undefined : { kind: 'neighbour', device };
    case 'ROUTE': {
      const destination = ROUTE.exec(text)?.[1];
      return destination === undefined ? undefined : { kind: 'route', destination, device };
    }
    case 'RULE':
      return { kind: 'rule' };
    default:
      return undefined;
  }
}

export interface MonitorListener {
  onEvent(event: KernelEvent): void;
  /** Called when the monitor starts to listen. It reports nothing that happened before. */
  onStart(): void;
}

/** Reports every change of links, addresses, routes, rules and neighbours until it is closed. */
export class Monitor {
  private readonly listener: MonitorListener;
  private readonly backoff = new Backoff(RESTART);
  private child: ChildProcess | undefined;
  private restart: NodeJS.Timeout | undefined;
  private closed = false;
  /** How often the command ended and was started again. */
  restarts = 0;

  constructor(listener: MonitorListener) {
    this.listener = listener;
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
    const startedAt = performance.now();
    this.child = child;
    createInterface({ input: child.stdout }).on('line', (line) => {
      const event = parseEvent(line);
      if (event !== undefined) this.listener.onEvent(event);
    });
    // A command that cannot be run emits 'close' too.
    child.on('error', () => {});
    child.on('close', (code, signal) => {
      if (this.closed) return;
      if (performance.now() - startedAt > HEALTHY_MS) this.backoff.reset();
      warn(`ip monitor ended (${signal ?? `exit code ${code}`}); restarting it`);
      this.restarts++;
      this.restart = setTimeout(() => this.start(), this.backoff.next());
    });
    this.listener.onStart();
  }
}
