/** An unexpected error in one line, for a log or another thread. */

import { basename } from 'node:path';
import { oneLine } from './one-line.js';

/** Calls that a description names, innermost first. */
const FRAMES = 4;

/** Returns `TypeError: x is undefined (a.js:12 < b.js:3)`. */
export function describeError(error: unknown): string {
  if (!(error instanceof Error)) return oneLine(String(error));
  const calls = [...(error.stack ?? '').matchAll(/^\s+at .*?\(?([^()\s]+:\d+):\d+\)?$/gm)]
    .map(([, place = '']) => place)
    .filter((place) => !place.startsWith('node:'))
    .slice(0, FRAMES)
    .map((place) => basename(place));
  return `${error.name}: ${oneLine(error.message)}${calls.length > 0 ? ` (${calls.join(' < ')})` : ''}`;
}
