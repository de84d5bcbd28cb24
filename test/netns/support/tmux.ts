/** A terminal of tmux: a shell in it, the keys that a test presses, and what the screen shows. */

import { writeFile } from 'node:fs/promises';
import type { Test } from 'tap';
import { exec } from '../../../lab/exec.js';
import { until } from '../../../lab/until.js';

export class TmuxTerminal {
  private readonly socket: string;

  private constructor(socket: string) {
    this.socket = socket;
  }

  /** Starts a shell on a terminal of 80 columns and 24 rows; the end of the test stops it. */
  static async start(t: Test, dir: string, env: Readonly<Record<string, string>>): Promise<TmuxTerminal> {
    const terminal = new TmuxTerminal(`${dir}/tmux.sock`);
    await writeFile(`${dir}/tmux.conf`, 'set -g status off\n');
    const variables = Object.entries(env).map(([name, value]) => `${name}=${value}`);
    await exec([
      ...['env', '-u', 'TMUX', ...variables, 'tmux', '-u', '-S', terminal.socket, '-f', `${dir}/tmux.conf`],
      ...['new-session', '-d', '-x', '80', '-y', '24', 'sh'],
    ]);
    t.teardown(() => terminal.tmux('kill-server'));
    return terminal;
  }

  /** Types a command. */
  async type(command: string): Promise<void> {
    await this.tmux('send-keys', '-l', command);
    await this.press('Enter');
  }

  /** Presses keys, by their names in tmux. */
  async press(...keys: readonly string[]): Promise<void> {
    await this.tmux('send-keys', ...keys);
  }

  async resize(columns: number, rows: number): Promise<void> {
    await this.tmux('resize-window', '-x', `${columns}`, '-y', `${rows}`);
  }

  /** Returns the rows of the screen. */
  async rows(): Promise<string[]> {
    const text = await this.tmux('capture-pane', '-p');
    return text.replace(/\n$/, '').split('\n');
  }

  /** Waits until all rows together match; returns them. */
  async shows(pattern: RegExp): Promise<string[]> {
    let rows: string[] = [];
    await until(
      `a screen that matches ${pattern}`,
      async () => {
        rows = await this.rows();
        return pattern.test(rows.join('\n'));
      },
      { timeoutMs: 15_000, everyMs: 50 },
    ).catch((error: Error) => {
      throw new Error(`${error.message}; it shows:\n${rows.join('\n')}`);
    });
    return rows;
  }

  /** Returns the modes of the terminal that a program may change. */
  async modes(): Promise<string> {
    const text = await this.tmux(
      'display-message',
      '-p',
      'cursor #{cursor_flag}, second screen #{alternate_on}, wrap #{wrap_flag}',
    );
    return text.trim();
  }

  private async tmux(...words: readonly string[]): Promise<string> {
    return (await exec(['tmux', '-S', this.socket, ...words])).stdout;
  }
}
