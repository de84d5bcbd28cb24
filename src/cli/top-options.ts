/** The options of `weft top`. */

import { UsageError } from './go-flags.js';
import type { UsageRow } from './usage.js';

/** Bounds of --interval, in seconds. */
const LEAST_S = 0.1;
const MOST_S = 3600;

export const TOP_EXAMPLES: readonly UsageRow[] = [
  ['weft top', 'watch the traffic; q quits'],
  ['weft top --interval 5', 'average over 5 s'],
  ['weft top | cat', 'print the rates of one second, and end'],
  ['NO_COLOR=1 weft top', 'without colours'],
];

export const TOP_OPTIONS = {
  interval: {
    type: 'string',
    row: ['--interval <S>', `seconds between two readings, ${LEAST_S} to ${MOST_S} (default: 1)`],
  },
} as const;

/** Returns the interval in milliseconds. @throws UsageError */
export function intervalOf(value: unknown): number {
  if (value === undefined) return 1000;
  const seconds = /^\d+(\.\d+)?$/.test(String(value)) ? Number(value) : Number.NaN;
  if (!(seconds >= LEAST_S && seconds <= MOST_S))
    throw new UsageError(`--interval ${value}: not a number of seconds from ${LEAST_S} to ${MOST_S}`);
  return seconds * 1000;
}
