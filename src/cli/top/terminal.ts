/** The terminal of `weft top`: its second screen, single keys, and the first screen again, however the program ends. */

import type { ReadStream, WriteStream } from 'node:tty';
import type { Line, Size, Style } from './frame.js';

/** The second screen, no cursor, no line wrap; and back: xterm's control sequences, which tmux and screen have too. */
const ENTER = '\x1b[?1049h\x1b[?25l\x1b[?7l\x1b[2J';
const LEAVE = '\x1b[?7h\x1b[?25h\x1b[?1049l';

const RESET = '\x1b[0m';
const COLOURS: Readonly<Record<Style, string>> = {
  plain: '',
  strong: '\x1b[1m',
  bad: '\x1b[31m',
  faint: '\x1b[2m',
  bar: '\x1b[7m',
};

/** A key as a terminal sends it: an escape sequence or one character. */
const KEY = /\x1b(?:\[|O)[\d;]*[A-Za-z~]|[^]/g;

/** The keys that have a meaning; Ctrl-C is a key, because the terminal is raw. */
const KEYS: Readonly<Record<string, Key>> = {
  q: 'quit',
  Q: 'quit',
  '\x03': 'quit',
  '\x1a': 'suspend',
  '\x0c': 'redraw',
  p: 'problems',
  k: 'up',
  '\x1b[A': 'up',
  '\x1bOA': 'up',
  j: 'down',
  '\x1b[B': 'down',
  '\x1bOB': 'down',
  '\x1b[5~': 'page-up',
  '\x1b[6~': 'page-down',
  ' ': 'page-down',
  g: 'first',
  '\x1b[H': 'first',
  '\x1bOH': 'first',
  '\x1b[1~': 'first',
  G: 'last',
  '\x1b[F': 'last',
  '\x1bOF': 'last',
  '\x1b[4~': 'last',
};

export type Key =
  | 'quit'
  | 'suspend'
  | 'redraw'
  | 'problems'
  | 'up'
  | 'down'
  | 'page-up'
  | 'page-down'
  | 'first'
  | 'last';

/** Returns the keys in a text from the terminal; those without a meaning are left out. */
export function keysIn(text: string): Key[] {
  return (text.match(KEY) ?? []).flatMap((sequence) =>
    Object.hasOwn(KEYS, sequence) ? [KEYS[sequence] as Key] : [],
  );
}

/** Returns the text that turns the rows of `before` into those of `lines`. */
export function difference(before: readonly string[], lines: readonly string[]): string {
  return lines.map((text, index) => (text === before[index] ? '' : `\x1b[${index + 1};1H${text}`)).join('');
}

/** Signals that end the program; the shell sees that they did. */
const ENDING: readonly NodeJS.Signals[] = ['SIGTERM', 'SIGINT', 'SIGHUP', 'SIGQUIT'];

export class Terminal {
  private readonly input: ReadStream;
  private readonly output: WriteStream;
  private readonly coloured: boolean;
  private isOpen = false;
  /** The rows on the screen. */
  private rows: readonly string[] = [];

  constructor(input: ReadStream, output: WriteStream, coloured: boolean) {
    this.input = input;
    this.output = output;
    this.coloured = coloured;
  }

  get size(): Size {
    const { columns, rows } = this.output;
    // A serial line may not know its size.
    return { columns: columns || 80, rows: rows || 24 };
  }

  /** Takes the terminal. `onKey` gets each key, `redraw` is called after a resize. */
  start(onKey: (key: Key) => void, redraw: () => void): void {
    process.on('exit', () => this.leave());
    // Before the listener that prints the error: it belongs on the first screen.
    process.prependListener('uncaughtException', () => this.leave());
    for (const signal of ENDING) {
      process.once(signal, () => {
        this.leave();
        process.kill(process.pid, signal);
      });
    }
    process.on('SIGCONT', () => {
      this.enter();
      redraw();
    });
    this.output.on('resize', () => {
      this.clear();
      redraw();
    });
    this.input.setEncoding('utf8').on('data', (text: string) => {
      for (const key of keysIn(text)) onKey(key);
    });
    // The end of another input, such as /dev/null, is no wish to quit.
    if (this.input.isTTY) this.input.on('end', () => onKey('quit'));
    this.enter();
  }

  /** Shows these lines, one per row; writes only rows that have changed. */
  draw(lines: readonly Line[]): void {
    if (!this.isOpen) return;
    const { columns } = this.size;
    const rows = lines.map(({ text, style }) => {
      const colour = this.coloured ? COLOURS[style] : '';
      // Spaces erase the old row: erasing to its end would take the last character of a full row.
      const whole = text.padEnd(columns);
      return colour === '' ? whole : `${colour}${whole}${RESET}`;
    });
    this.output.write(difference(this.rows, rows));
    this.rows = rows;
  }

  /** Erases the screen, so that the next frame is drawn as a whole. */
  clear(): void {
    this.rows = [];
    if (this.isOpen) this.output.write('\x1b[2J');
  }

  /** Stops the program as Ctrl-Z does; the shell continues it. */
  suspend(): void {
    this.leave();
    process.kill(process.pid, 'SIGTSTP');
  }

  /** Restores the terminal. It may be called again. */
  leave(): void {
    if (!this.isOpen) return;
    this.isOpen = false;
    this.output.write(LEAVE);
    if (this.input.isTTY) this.input.setRawMode(false);
  }

  private enter(): void {
    if (this.input.isTTY) this.input.setRawMode(true);
    this.isOpen = true;
    this.rows = [];
    this.output.write(ENTER);
  }
}
