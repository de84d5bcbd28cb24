/** `weft top`: the traffic of the running Weft, live on a terminal, or once for a file or a pipe. */

import { setTimeout as delay } from 'node:timers/promises';
import { ask, NotRunning } from '../../control/ipc/client.js';
import type { StartingStatus, Status } from '../../control/node/status.js';
import { UserError } from '../../control/support/user-error.js';
import { report, screen, type View } from './frame.js';
import { glyphsOf } from './glyphs.js';
import { type Key, Terminal } from './terminal.js';
import { Traffic } from './traffic.js';

/** Asking takes at most a fifth of the time: Weft reads the state of the kernel for each answer. */
const PAUSE_PER_ANSWER = 4;

/** Shows the traffic until the user quits; without a terminal it prints one interval, and returns. */
export async function showTop(runDir: string, intervalMs: number): Promise<void> {
  const { stdin, stdout, env } = process;
  if (!stdout.isTTY || env.TERM === 'dumb') return await printOnce(runDir, intervalMs);
  await new Top(runDir, new Terminal(stdin, stdout, !env.NO_COLOR)).run(intervalMs);
}

/** Prints the traffic of one interval. @throws NotRunning, or UserError */
async function printOnce(runDir: string, intervalMs: number): Promise<void> {
  const traffic = new Traffic();
  await readStatus(traffic, runDir);
  await delay(intervalMs);
  await readStatus(traffic, runDir);
  const columns = Number(process.env.COLUMNS) || 80;
  const view = { traffic, failure: undefined, first: 0, onlyProblems: false, now: performance.now() };
  const lines = report(view, columns, glyphsOf(process.env));
  process.stdout.write(lines.map(({ text }) => `${text}\n`).join(''));
}

/** Adds an answer of the running Weft. @throws NotRunning, or UserError */
async function readStatus(traffic: Traffic, runDir: string): Promise<void> {
  const status = (await ask(runDir, { command: 'status' })) as Status | StartingStatus;
  try {
    traffic.read(status, performance.now());
  } catch {
    throw new UserError(
      `--run-dir ${runDir}: the running Weft gives an answer that this one does not know; use the same version`,
    );
  }
}

class Top {
  private readonly runDir: string;
  private readonly terminal: Terminal;
  private readonly traffic = new Traffic();
  private readonly glyphs = glyphsOf(process.env);
  private failure: View['failure'];
  private first = 0;
  private onlyProblems = false;

  constructor(runDir: string, terminal: Terminal) {
    this.runDir = runDir;
    this.terminal = terminal;
  }

  /** Never returns: a key or a signal ends the process. */
  async run(intervalMs: number): Promise<never> {
    this.terminal.start(
      (key) => this.press(key),
      () => this.draw(),
    );
    this.draw();
    for (;;) {
      const asked = performance.now();
      await this.read();
      this.draw();
      const taken = performance.now() - asked;
      await delay(Math.max(intervalMs - taken, taken * PAUSE_PER_ANSWER));
    }
  }

  /** Asks Weft once; one that does not run may come back. */
  private async read(): Promise<void> {
    try {
      await readStatus(this.traffic, this.runDir);
      this.failure = undefined;
    } catch (error) {
      if (!(error instanceof UserError)) throw error;
      this.traffic.miss();
      const state = error instanceof NotRunning ? 'does not run' : 'does not answer';
      this.failure = { headline: `weft ${state} (waiting)`, reason: error.message };
    }
  }

  private draw(): void {
    const { traffic, failure, first, onlyProblems, terminal } = this;
    const view = { traffic, failure, first, onlyProblems, now: performance.now() };
    const shown = screen(view, terminal.size, this.glyphs);
    this.first = shown.first;
    terminal.draw(shown.lines);
  }

  private press(key: Key): void {
    if (key === 'quit') {
      this.terminal.leave();
      // A request that waits for its answer would keep the process.
      process.exit(0);
    }
    if (key === 'suspend') return this.terminal.suspend();
    if (key === 'redraw') this.terminal.clear();
    if (key === 'problems') {
      this.onlyProblems = !this.onlyProblems;
      this.first = 0;
    }
    this.scroll(key);
    this.draw();
  }

  private scroll(key: Key): void {
    const page = Math.max(1, Math.floor(this.terminal.size.rows / 2));
    const { length } = this.traffic.peers;
    const steps: Partial<Record<Key, number>> = {
      up: -1,
      down: 1,
      'page-up': -page,
      'page-down': page,
      first: -length,
      last: length,
    };
    this.first = Math.max(0, this.first + (steps[key] ?? 0));
  }
}
