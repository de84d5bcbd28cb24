/**
 * Go's flag syntax on top of commander: `-x`, `--x`, `-x=v` and `-x v` become `--x=v`, the one form that commander reads
 * the same way for every kind of flag. What is wrong is said in Go's words.
 */

import { type Command, Option } from 'commander';
import { show } from '../control/support/user-error.js';
import type { Flag, Flags, ValuesOf } from './flag.js';

/** A command line that cannot be understood: its message, then the usage, exit code 2. */
export class UsageError extends Error {}

/**
 * The flags of a command line, for commander. The first word that is none, or `--`, ends them; what follows is ignored.
 * @throws UsageError
 */
export function spellOut(words: readonly string[], flags: Flags): string[] {
  const spelled: string[] = [];
  const left = [...words];
  for (let word = left.shift(); word !== undefined && /^-./s.test(word); word = left.shift()) {
    if (word === '--') break;
    const [, name, value] = /^--?([^-=][^=]*)(?:=(.*))?$/s.exec(word) ?? [];
    // What follows the sign may be a password.
    if (name === undefined) throw new UsageError(`bad flag syntax: ${word.replace(/=.*/s, '')}`);
    const flag = Object.hasOwn(flags, name) ? flags[name] : undefined;
    if (flag === undefined) {
      if (name !== 'help' && name !== 'h') throw new UsageError(`flag provided but not defined: -${name}`);
      return [...spelled, '--help'];
    }
    const given = value ?? (flag.boolean ? 'true' : left.shift());
    if (given === undefined) throw new UsageError(`flag needs an argument: -${name}`);
    spelled.push(`--${name}=${given}`);
  }
  return spelled;
}

function parseGiven(name: string, flag: Flag<unknown>, text: string, previous: unknown): unknown {
  try {
    return flag.parse(text, previous);
  } catch (error) {
    const where = flag.boolean
      ? `invalid boolean value ${show(text)} for -${name}`
      : `invalid value ${show(text)} for flag -${name}`;
    throw new UsageError(`${where}: ${(error as Error).message}`);
  }
}

/** Lets a command have the flags, in its usage under a heading. Parsing throws UsageError for a value that is no good. */
export function addFlags(command: Command, heading: string, flags: Flags): Command {
  for (const [name, flag] of Object.entries(flags)) {
    const { initial, placeholder, help } = flag;
    // Only with brackets commander lets a value be left out, and shows it so.
    const value = flag.boolean ? `[=${placeholder}]` : `<${placeholder}>`;
    const option = new Option(`--${name} ${value}`, help).helpGroup(heading);
    option.argParser((text: string, previous: unknown) => parseGiven(name, flag, text, previous ?? initial));
    // As Go has it, the usage does not show what is empty, zero or off.
    if (initial && !Array.isArray(initial)) option.default(initial);
    command.addOption(option);
  }
  return command;
}

/** What a parsed command's flags are, and the names of those that were given. */
export function flagsOf<Table extends Flags>(
  command: Command,
  table: Table,
): { values: ValuesOf<Table>; given: ReadonlySet<string> } {
  const values: Record<string, unknown> = {};
  const given = new Set<string>();
  for (const option of command.options) {
    const name = (option.long ?? '').slice(2);
    const key = option.attributeName();
    values[name] = command.getOptionValue(key) ?? table[name]?.initial;
    if (command.getOptionValueSource(key) === 'cli') given.add(name);
  }
  return { values: values as ValuesOf<Table>, given };
}
