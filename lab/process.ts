/**
 * Long-lived processes of the lab: dataplanes, daemons, servers. Their output is kept, and a line of it shows
 * readiness.
 */

import { type ChildProcess, spawn } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { inNetns } from './exec.js';
import { until } from './until.js';

/** Output kept per process: a runaway log loses its oldest lines instead of filling the memory. */
const KEPT_CHARACTERS = 1 << 20;

export interface StartOptions {
  /** Network namespace to run in. */
  readonly netns?: string;
  /** Name in messages; by default the program's. */
  readonly name?: string;
  /** Variables added to the environment. */
  readonly env?: NodeJS.ProcessEnv;
}

/** How a process ended. */
export interface Exit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

/** A started process. Its owner stops it and awaits the end (Lab.own does it on dispose). */
export class LabProcess {
  readonly name: string;
  /** Time of the start by process.hrtime.bigint(), the machine's monotonic clock. */
  readonly startedAt: bigint;
  /** Resolves when the process has ended and its output is complete; never rejects. */
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
      this.append(text);
    });
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      this.stderr = (this.stderr + text).slice(-KEPT_CHARACTERS);
      this.append(text);
    });
    this.exited = new Promise((resolve) => {
      const finish = (code: number | null, signal: NodeJS.Signals | null) => {
        this.ended = { code, signal };
        for (const listener of [...this.listeners]) listener();
        resolve(this.ended);
      };
      child.once('close', finish);
      child.once('error', (error) => {
        this.append(`${error.message}\n`);
        finish(null, null);
      });
    });
  }

  /** Returns the process id; -1 if it could not be started. */
  get pid(): number {
    return this.child.pid ?? -1;
  }

  /** Waits until the output matches; rejects with the end of the log if the process ends first or the time is up. */
  waitFor(pattern: RegExp, timeoutMs = 30_000): Promise<RegExpExecArray> {
    return new Promise((resolve, reject) => {
      const settle = (result: RegExpExecArray | string) => {
        clearTimeout(timer);
        this.listeners.delete(check);
        if (typeof result === 'string') reject(new Error(`${this.name}: ${result}\n${this.tail()}`));
        else resolve(result);
      };
      const check = () => {
        const found = pattern.exec(this.output);
        if (found !== null) settle(found);
        else if (this.ended !== undefined) {
          settle(`ended (${this.ended.code ?? this.ended.signal}) before its output matched ${pattern}`);
        }
      };
      const timer = setTimeout(
        () => settle(`its output did not match ${pattern} within ${timeoutMs} ms`),
        timeoutMs,
      );
      this.listeners.add(check);
      check();
    });
  }

  /** Returns the last lines of the log. */
  tail(lines = 15): string {
    return this.output.trimEnd().split('\n').slice(-lines).join('\n');
  }

  /** Sends a signal if the process still runs. */
  kill(signal: NodeJS.Signals): void {
    if (this.ended === undefined) this.child.kill(signal);
  }

  /** Stops all its threads (SIGSTOP) and waits until they are stopped; SIGCONT resumes them. */
  async freeze(): Promise<void> {
    this.kill('SIGSTOP');
    await until('every thread is stopped', () => {
      const tasks = readdirSync(`/proc/${this.pid}/task`);
      return tasks.every((task) => /\) T /.test(readFileSync(`/proc/${this.pid}/task/${task}/stat`, 'utf8')));
    });
  }

  /** Ends the process with a signal, or with SIGKILL once the grace period is over. Returns how it ended. */
  async stop(signal: NodeJS.Signals = 'SIGTERM', graceMs = 3000): Promise<Exit> {
    this.kill(signal);
    const timer = setTimeout(() => this.kill('SIGKILL'), graceMs);
    const exit = await this.exited;
    clearTimeout(timer);
    return exit;
  }

  private append(text: string): void {
    this.output = (this.output + text).slice(-KEPT_CHARACTERS);
    for (const listener of [...this.listeners]) listener();
  }
}
