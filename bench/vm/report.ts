/** Tables of `npm run vm`. */

import { markdownTable } from '../../lab/table.js';
import { LEVELS, type Level, type Proof, type Sample } from './measure.js';

/** Returns what the transfers showed, one row per level. */
export function proofTable(proofs: readonly Proof[]): string[] {
  return markdownTable(
    [
      { title: 'level' },
      { title: 'hashes' },
      { title: 'checksum errors', right: true },
      { title: 'fast packets out / in', right: true },
      { title: 'status' },
    ],
    proofs.map(({ level, checksumErrors, fastTxPackets, fastRxPackets, offload }) => [
      level,
      'equal',
      `${checksumErrors}`,
      `${fastTxPackets} / ${fastRxPackets}`,
      offload,
    ]),
  );
}

const FIGURES = [
  { title: 'TCP out, Mbit/s', key: 'out', digits: 0 },
  { title: 'TCP in, Mbit/s', key: 'in', digits: 0 },
  { title: 'fastest ping, ms', key: 'ping', digits: 2 },
] as const;

/** Returns medians with the smallest and the largest value, and the ratio of bpf to gso. */
export function rateTable(samples: readonly Sample[]): string[] {
  const valuesOf = (level: Level, key: (typeof FIGURES)[number]['key']): number[] =>
    samples
      .filter((one) => one.level === level)
      .map((one) => one[key])
      .sort((a, b) => a - b);
  return markdownTable(
    [
      { title: 'figure' },
      ...LEVELS.map((title) => ({ title, right: true })),
      { title: 'bpf / gso', right: true },
    ],
    FIGURES.map(({ title, key, digits }) => {
      const columns = LEVELS.map((level) => valuesOf(level, key));
      const [bpf = Number.NaN, gso = Number.NaN] = columns.map(median);
      const cells = columns.map(
        (values) =>
          `${median(values).toFixed(digits)} (${values[0]?.toFixed(digits)}-${values.at(-1)?.toFixed(digits)})`,
      );
      return [title, ...cells, (bpf / gso).toFixed(2)];
    }),
  );
}

/** Returns the middle of sorted values, or the mean of the two in the middle. */
function median(sorted: readonly number[]): number {
  const [low, high] = [Math.floor, Math.ceil].map((round) => sorted[round((sorted.length - 1) / 2)]);
  return ((low ?? Number.NaN) + (high ?? Number.NaN)) / 2;
}
