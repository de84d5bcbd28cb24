/** The usage texts, which `--help` prints. */

import type { Flags } from './flag.js';

export type UsageRow = readonly [term: string, meaning: string];

/** Rows under a heading: flags or commands. */
export interface UsageGroup {
  readonly heading: string;
  readonly rows: readonly UsageRow[];
}

export function formatUsage(synopsis: string, description: string, groups: readonly UsageGroup[]): string {
  const width = Math.max(...groups.flatMap(({ rows }) => rows.map(([term]) => term.length)));
  const blocks = groups.map(({ heading, rows }) =>
    [heading, ...rows.map(([term, meaning]) => `  ${term.padEnd(width)}  ${meaning}`)].join('\n'),
  );
  return `${[`Usage: ${synopsis}`, description, ...blocks].join('\n\n')}\n`;
}

/** Returns a row for each flag. As in Go's usage, a default that is empty, zero or off is not shown. */
export function flagRows(flags: Flags): UsageRow[] {
  return Object.entries(flags).map(([name, { initial, placeholder, boolean, help }]) => {
    const value = boolean ? `[=${placeholder}]` : `<${placeholder}>`;
    const shown = initial && !Array.isArray(initial);
    return [`--${name} ${value}`, shown ? `${help} (default: ${JSON.stringify(initial)})` : help];
  });
}
