/** The kinds of flags, with the value syntax of Go's flag package and klog. */

import type { FileVerbosity } from '../control/support/log.js';

export interface Flag<T> {
  /** The value if the flag is not given. */
  readonly initial: T;
  /** The name of the value in the usage. */
  readonly placeholder: string;
  readonly help: string;
  /** Whether `-x` without a value means `-x=true`. */
  readonly boolean: boolean;
  /** Whether quotes around the value may be meant; they are a mistake otherwise. */
  readonly quotable?: boolean;
  /** Parses a value. `previous` is the flag's value so far. @throws Error with the reason only */
  parse(text: string, previous: T): T;
}

export type Flags = Readonly<Record<string, Flag<unknown>>>;

/** The values of a table of flags by name. */
export type ValuesOf<Table> = { [Name in keyof Table]: Table[Name] extends Flag<infer T> ? T : never };

/** The words that Go's strconv.ParseBool accepts. */
const BOOLEANS: ReadonlyMap<string, boolean> = new Map([
  ...['1', 't', 'T', 'TRUE', 'true', 'True'].map((word) => [word, true] as const),
  ...['0', 'f', 'F', 'FALSE', 'false', 'False'].map((word) => [word, false] as const),
]);

export function text(initial: string, placeholder: string, help: string): Flag<string> {
  return { initial, placeholder, help, boolean: false, parse: (value) => value };
}

/** A text that may be in quotes, such as a password. */
export function word(initial: string, placeholder: string, help: string): Flag<string> {
  return { ...text(initial, placeholder, help), quotable: true };
}

export function path<D extends string | undefined>(initial: D, help: string): Flag<string | D> {
  const parse = (value: string): string => {
    if (value === '') throw new Error('the path must not be empty');
    return value;
  };
  return { initial, placeholder: 'PATH', help, boolean: false, parse };
}

/** A repeatable flag. */
export function list(placeholder: string, help: string): Flag<readonly string[]> {
  return { initial: [], placeholder, help, boolean: false, parse: (value, previous) => [...previous, value] };
}

export function bool(initial: boolean, help: string): Flag<boolean> {
  const parse = (value: string): boolean => {
    const parsed = BOOLEANS.get(value);
    if (parsed === undefined) throw new Error('parse error');
    return parsed;
  };
  return { initial, placeholder: 'BOOL', help, boolean: true, parse };
}

/** A decimal integer, optionally limited to a range that includes both ends. */
export function integer(
  initial: number,
  placeholder: string,
  help: string,
  range?: readonly [least: number, most: number],
): Flag<number> {
  const requirement = `a whole number${range === undefined ? '' : ` from ${range[0]} to ${range[1]}`} is needed`;
  const [least, most] = range ?? [Number.MIN_SAFE_INTEGER, Number.MAX_SAFE_INTEGER];
  const parse = (value: string): number => {
    if (!/^[+-]?\d+$/.test(value)) throw new Error(`parse error: ${requirement}`);
    const number = Number(value);
    if (number < least || number > most) throw new Error(`value out of range: ${requirement}`);
    return number;
  };
  return { initial, placeholder, help, boolean: false, parse };
}

export function choice<T extends string, D extends T | undefined>(
  initial: D,
  choices: readonly T[],
  help: string,
): Flag<T | D> {
  const parse = (value: string): T => {
    const chosen = choices.find((one) => one === value);
    if (chosen === undefined) throw new Error(`it must be one of ${choices.join(', ')}`);
    return chosen;
  };
  return { initial, placeholder: choices.join('|'), help, boolean: false, parse };
}

/** klog's -vmodule: `pattern=N,...`. */
export function vmodule(help: string): Flag<readonly FileVerbosity[]> {
  const parse = (value: string): FileVerbosity[] =>
    value
      .split(',')
      .filter((part) => part !== '')
      .map((part) => {
        const [, pattern, level] = /^([^=]+)=([+-]?\d+)$/.exec(part) ?? [];
        if (pattern === undefined) throw new Error('syntax error: expect comma-separated list of filename=N');
        return { pattern, level: Number(level) };
      });
  return { initial: [], placeholder: 'PATTERN=N,...', help, boolean: false, parse };
}

/** klog's -log_backtrace_at: `file:line`. */
export function codeLine(help: string): Flag<string> {
  const parse = (value: string): string => {
    if (!/^([^:]+:\d+)?$/.test(value)) throw new Error('syntax error: expect file.js:234');
    return value;
  };
  return { initial: '', placeholder: 'FILE:LINE', help, boolean: false, parse };
}
