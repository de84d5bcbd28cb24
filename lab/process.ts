/** Long-lived processes of the lab: dataplanes, daemons, servers. Output is kept, readiness awaited by what they print. */

import { type ChildProcess, spawn } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { inNetns } from './exec.js';
import { until } from './until.js';

/** Output kept per process; a runaway log then costs a test its oldest lines, not its memory. */
const KEPT_CHARACTERS = 1 << 20;

export interface StartOptions {
  /** Network namespace to run in. */
  readonly netns?: string;
  /** Name in messages; the program's own when left out. */
  readonly name?: string;
  /** Variables added to the environment. */
  readonly env?: NodeJS.ProcessEnv;
}

/** How a process ended. */
export interface Exit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

/** A started process. Whoever starts one also stops it and awaits that (Lab.own does it on dispose). */
export class LabProcess {
  readonly name: string;
  /** When it was started: process.hrtime.bigint(), the machine's monotonic clock. */
  readonly startedAt: bigint;
  /** Settles when the process has ended and its output is complete; never rejects. */
  readonly exited: Promise<Exit>;
  /** Standard output and standard error, in the order they arrived. */
  output = '';
  stdout = '';
  stderr = '';
  /** How it ended; undefined while it runs. */
  ended: Exit | undefined;
  private readonly child: ChildProcess;
  private readonly listeners = new Set<() => void>();

  constructor(argv: readonly string[], options: StartOptions = {}) {
    const [file = '', ...args] = inNetns(options.netns, argv, options.env?.NODE_OPTIONS);
    this.name = options.name ?? argv[0] ?? '';
    this.startedAt = process.hrtime.bigint();
    const child = spawn(file, args, {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, ...options.env },
    });
    this.child = child;
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      this.stdout = (this.stdout + text).slice(-KEPT_CHARACTERS);
      this.said(text);
    });
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      this.stderr = (this.stderr + text).slice(-KEPT_CHARACTERS);
      this.said(text);
    });
    this.exited = new Promise((resolve) => {
      const finish = (code: number | null, signal: NodeJS.Signals | null) => {
        this.ended = { code, signal };
        for (const listener of [...this.listeners]) listener();
        resolve(this.ended);
      };
      child.once('close', finish);
      child.once('error', (error) => {
        this.said(`${error.message}\n`);
        finish(null, null);
      });
    });
  }

  /** Process id; -1 if it could not be started. */
  get pid(): number {
    return this.child.pid ?? -1;
  }

  /** Waits until the output matches; rejects with the end of the log if the process ends or the time is up before. */
  waitFor(pattern: RegExp, timeoutMs = 10_000): Promise<RegExpExecArray> {
    return new Promise((resolve, reject) => {
      const settle = (result: RegExpExecArray | string) => {
        clearTimeout(timer);
        this.listeners.delete(look);
        if (typeof result === 'string') reject(new Error(`${this.name}: ${result}\n${this.tail()}`));
        else resolve(result);
      };
      const look = () => {
        const found = pattern.exec(this.output);
        if (found !== null) settle(found);
        else if (this.ended !== undefined) {
          settle(`ended (${this.ended.code ?? this.ended.signal}) before it said ${pattern}`);
        }
      };
      const timer = setTimeout(() => settle(`did not say ${pattern} within ${timeoutMs} ms`), timeoutMs);
      this.listeners.add(look);
      look();
    });
  }

  /** The last lines of the log, for a report. */
  tail(lines = 15): string {
    return this.output.trimEnd().split('\n').slice(-lines).join('\n');
  }

  /** Sends a signal, if the process still runs. */
  kill(signal: NodeJS.Signals): void {
    if (this.ended === undefined) this.child.kill(signal);
  }

  /** Stops all its threads (SIGSTOP) and waits until they stand still; SIGCONT lets them go on. */
  async freeze(): Promise<void> {
    this.kill('SIGSTOP');
    await until('all its threads stand still', () => {
      const tasks = readdirSync(`/proc/${this.pid}/task`);
      return tasks.every((task) => /\) T /.test(readFileSync(`/proc/${this.pid}/task/${task}/stat`, 'utf8')));
    });
  }

  /** Ends the process: the signal first, SIGKILL after the grace. Returns how it ended. */
  async stop(signal: NodeJS.Signals = 'SIGTERM', graceMs = 3000): Promise<Exit> {
    this.kill(signal);
    const timer = setTimeout(() => this.kill('SIGKILL'), graceMs);
    const exit = await this.exited;
    clearTimeout(timer);
    return exit;
  }

  private said(text: string): void {
    this.output = (this.output + text).slice(-KEPT_CHARACTERS);
    for (const listener of [...this.listeners]) listener();
  }
}
