/** The search for a path MTU: several sizes at a time, evenly spread over what is still possible. */

/** Sizes of a round. */
const SIZES = 24;

export type Way = 'underlay' | 'tunnel';

/** What is known of a path: in bytes of a packet of the underlay. */
export interface Range {
  /** The largest size that arrives, and the smallest one that does not. */
  works: number;
  fails: number;
  /** What a router has reported; the first round tries it. */
  hint?: number | undefined;
}

/** Which probes were answered. */
interface Answers {
  underlaySmall: number | null;
  underlayFull: number | null;
  tunnelSmall: number | null;
  tunnelFull: number | null;
}

/** Returns on which way the search runs; undefined if there is nothing to find. */
export function wayOfSearch({
  underlaySmall,
  underlayFull,
  tunnelSmall,
  tunnelFull,
}: Answers): Way | undefined {
  if (underlaySmall !== null && underlayFull === null) return 'underlay';
  return tunnelSmall !== null && tunnelFull === null ? 'tunnel' : undefined;
}

/** Returns the sizes of the next round: evenly between the largest that works and the smallest that fails. */
export function sizesBetween(range: Range): number[] {
  const { works, fails, hint } = range;
  const count = Math.min(fails - works - 1, SIZES);
  const step = (fails - works) / (count + 1);
  const sizes = Array.from({ length: count }, (_, index) => Math.round(works + step * (index + 1)));
  // What a router has reported is mostly the answer: the size itself works, and one more fails.
  const likely = hint === undefined ? [] : [hint, hint + 1];
  return [...new Set([...sizes, ...likely])].filter((size) => size > works && size < fails);
}

/** Narrows the range by the results of a round. A packet may be lost: what arrives counts more than what does not. */
export function narrow(range: Range, results: readonly { size: number; arrives: boolean }[]): void {
  for (const { size, arrives } of results) if (arrives) range.works = Math.max(range.works, size);
  for (const { size, arrives } of results)
    if (!arrives && size > range.works) range.fails = Math.min(range.fails, size);
  range.hint = undefined;
}
