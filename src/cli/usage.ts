/**
 * The usage texts. `--help` fits on a screen of 80 columns and 24 lines: examples first, then the flags that are needed
 * most, one line each. `--help all` has every flag with its whole meaning.
 */

import type { Flag, Flags } from './flag.js';
import { COLUMNS, wrapped } from './text.js';

export type UsageRow = readonly [term: string, meaning: string];

/** Rows under a heading: flags or commands. */
export interface UsageGroup {
  readonly heading: string;
  readonly rows: readonly UsageRow[];
}

/** What the usage says about a command, or about `weft` as a whole. */
export interface Usage {
  readonly name: string;
  readonly description: string;
  readonly synopsis: string;
  readonly examples: readonly UsageRow[];
  /** Lines below the flags: what else a user must know. */
  readonly notes?: readonly string[];
}

/** Columns of the longest flag that has its meaning beside it in the complete help. */
const TERM_COLUMNS = 27;

/** Returns the help that fits on one screen. `more` says where the rest is. */
export function formatHelp(usage: Usage, rows: readonly UsageRow[], more?: string): string {
  const shown = rows.map(([term, meaning]): UsageRow => [term.replace(' [=BOOL]', ''), meaning]);
  const width = widestOf(shown);
  const lines = shown.map(
    ([term, meaning]) => `  ${term.padEnd(width)}  ${cut(meaning, COLUMNS - width - 4)}`,
  );
  const notes = [...(usage.notes ?? []), ...(more === undefined ? [] : [more])];
  return [head(usage), ...lines, ...(notes.length === 0 ? [] : ['', ...notes]), ''].join('\n');
}

/** Returns the help with every flag. */
export function formatCompleteHelp(usage: Usage, groups: readonly UsageGroup[]): string {
  const blocks = groups.map(({ heading, rows }) => `\n${heading}\n${rows.map(completeRow).join('')}`);
  return `${head(usage)}\n${blocks.join('')}`;
}

function head({ name, description, synopsis, examples }: Usage): string {
  const width = widestOf(examples);
  const lines = examples.map(([command, purpose]) => `  ${command.padEnd(width)}  ${purpose}`);
  return [`${name}: ${description}`, '', 'Examples:', ...lines, '', `Usage: ${synopsis}`].join('\n');
}

function completeRow([term, meaning]: UsageRow): string {
  const indent = ' '.repeat(TERM_COLUMNS + 4);
  return term.length > TERM_COLUMNS
    ? `  ${term}\n${wrapped(meaning, indent)}`
    : wrapped(meaning, `  ${term}`.padEnd(indent.length));
}

/** Returns as much of a meaning as fits: all of it, its first part with the default, or its first part. */
function cut(meaning: string, columns: number): string {
  const [first = ''] = meaning.split('; ');
  const standard = / \(default: [^)]*\)$/.exec(meaning)?.[0] ?? '';
  const short = first.replace(standard, '');
  return [meaning, short + standard].find((text) => text.length <= columns) ?? short;
}

function widestOf(rows: readonly UsageRow[]): number {
  return Math.max(...rows.map(([term]) => term.length));
}

/** Returns a row for each flag. */
export function flagRows(flags: Flags): UsageRow[] {
  return Object.entries(flags).map(([name, flag]) => flagRow(name, flag));
}

/** Returns the row of a flag. As in Go's usage, a default that is empty, zero or off is not shown. */
export function flagRow(name: string, { initial, placeholder, boolean, help }: Flag<unknown>): UsageRow {
  const value = boolean ? `[=${placeholder}]` : `<${placeholder}>`;
  const shown = initial && !Array.isArray(initial);
  return [`--${name} ${value}`, shown ? `${help} (default: ${initial})` : help];
}
