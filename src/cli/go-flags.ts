/** Command lines in the syntax of Go's flag package, with its error texts. */

import { quotesRemedy } from '../control/support/quotes.js';
import { show } from '../control/support/user-error.js';
import type { Flag, Flags, ValuesOf } from './flag.js';
import { nearest } from './nearest.js';

/** An invalid command line; exit code 2. */
export class UsageError extends Error {}

export interface ParsedFlags<Table extends Flags> {
  readonly values: ValuesOf<Table>;
  /** The names of the flags on the command line. */
  readonly given: ReadonlySet<string>;
  /** What `-h` or `-help` asks for, which ends the flags: `--help all` is every flag. */
  readonly help: 'short' | 'all' | undefined;
  /** The first word that is not a flag; it and what follows are ignored. Undefined also after `--`. */
  readonly ignored: string | undefined;
}

/**
 * Parses `-x`, `--x`, `-x=v` and `-x v`. The first word that is not a flag, or `--`, ends the flags; the rest is ignored.
 * @throws UsageError
 */
export function parseFlags<Table extends Flags>(words: readonly string[], table: Table): ParsedFlags<Table> {
  const values = Object.fromEntries(Object.entries(table).map(([name, { initial }]) => [name, initial]));
  const given = new Set<string>();
  const result = { values: values as ValuesOf<Table>, given, ignored: undefined };
  const left = [...words];
  for (let word = left.shift(); word !== undefined && word !== '--'; word = left.shift()) {
    if (!/^-./s.test(word)) return { ...result, ignored: word, help: undefined };
    const [, name, value] = /^--?([^-=][^=]*)(?:=(.*))?$/s.exec(word) ?? [];
    // The text after `=` may be a password.
    if (name === undefined) throw new UsageError(`bad flag syntax: ${shown(word.replace(/=.*/s, ''))}`);
    const flag = Object.hasOwn(table, name) ? table[name] : undefined;
    if (flag === undefined) {
      if (name === 'help' || name === 'h')
        return { ...result, help: (value ?? left[0]) === 'all' ? 'all' : 'short' };
      throw new UsageError(`flag provided but not defined: -${shown(name)}${hint(name, table)}`);
    }
    const text = value ?? (flag.boolean ? 'true' : left.shift());
    if (text === undefined) throw new UsageError(`flag needs an argument: -${name}`);
    values[name] = parseValue(name, flag, text, values[name]);
    given.add(name);
  }
  return { ...result, help: undefined };
}

/** Names the flag that is probably meant. */
function hint(name: string, table: Flags): string {
  const meant = nearest(name, Object.keys(table));
  return meant === undefined ? '' : `; the nearest is --${meant}`;
}

/** Formats a word as it is, but on one line and of at most 60 characters. */
function shown(word: string): string {
  return JSON.stringify(word.slice(0, 60)).slice(1, -1).replaceAll('\\"', '"');
}

function parseValue(name: string, flag: Flag<unknown>, text: string, previous: unknown): unknown {
  try {
    return flag.parse(text, previous);
  } catch (error) {
    const where = flag.boolean
      ? `invalid boolean value ${show(text)} for -${name}`
      : `invalid value ${show(text)} for flag -${name}`;
    throw new UsageError(`${where}: ${quotesRemedy(text) ?? (error as Error).message}`);
  }
}
