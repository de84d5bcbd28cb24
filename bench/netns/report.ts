/** Turns samples into tables: medians, spread, ratio to the kernel. */

import { markdownTable } from '../../lab/table.js';
import type { Figure, Metric } from './figure.js';
import type { Machine } from './machine.js';

/** One measured value. */
export interface Sample {
  readonly mode: string;
  readonly round: number;
  readonly figure: string;
  readonly peer: string;
  readonly metric: string;
  readonly unit: string;
  readonly value: number;
}

/** Median, smallest and largest of a peer's values. */
export interface Summary {
  readonly mode: string;
  readonly figure: string;
  readonly metric: string;
  readonly title: string;
  readonly unit: string;
  readonly peer: string;
  readonly median: number;
  readonly min: number;
  readonly max: number;
  readonly rounds: number;
}

/** Returns summaries in the order of modes, figures, metrics, peers. */
export function summarize(
  samples: readonly Sample[],
  modes: readonly string[],
  figures: readonly Figure[],
  peers: readonly string[],
): Summary[] {
  const summaries: Summary[] = [];
  for (const mode of modes) {
    for (const figure of figures) {
      for (const metric of figure.metrics) {
        for (const peer of peers) {
          const values = samples
            .filter((one) => one.mode === mode && one.figure === figure.name && one.metric === metric.key)
            .filter((one) => one.peer === peer)
            .map((one) => one.value)
            .sort((a, b) => a - b);
          if (values.length === 0) continue;
          const { key, title, unit } = metric;
          summaries.push({ mode, figure: figure.name, metric: key, title, unit, peer, ...spread(values) });
        }
      }
    }
  }
  return summaries;
}

function spread(sorted: readonly number[]): Pick<Summary, 'median' | 'min' | 'max' | 'rounds'> {
  const at = (index: number) => sorted[index];
  const middle = sorted.length >> 1;
  const median = sorted.length % 2 === 1 ? at(middle) : (at(middle - 1) + at(middle)) / 2;
  return { median, min: at(0), max: at(sorted.length - 1), rounds: sorted.length };
}

/** Returns the report as Markdown. */
export function markdownReport(
  machine: Machine,
  summaries: readonly Summary[],
  modes: readonly string[],
  figures: readonly Figure[],
  peers: readonly string[],
): string {
  const { cpu, cores, kernel, node, system, memoryGiB } = machine;
  const base = peers.includes('kernel') ? 'kernel' : peers[0];
  const rounds = Math.max(0, ...summaries.map((one) => one.rounds));
  const lines = [
    `${cpu}, ${cores} cores, ${memoryGiB} GiB · ${system}, kernel ${kernel} · Node ${node} · ${machine.date}`,
    '',
    `Medians over ${rounds} interleaved round${rounds === 1 ? '' : 's'} (smallest–largest); × is the ratio to ${base}; ` +
      '↑ more is better, ↓ less is.',
  ];
  for (const mode of modes) {
    const ofMode = summaries.filter((one) => one.mode === mode);
    if (ofMode.length === 0) continue;
    const columns = [{ title: mode }, ...peers.map((title) => ({ title, right: true }))];
    const rows = figures.flatMap((figure) =>
      figure.metrics.map((metric) => {
        const of = (peer: string) =>
          ofMode.find((one) => one.figure === figure.name && one.metric === metric.key && one.peer === peer);
        return [
          headingOf(metric),
          ...peers.map((peer) => cell(of(peer), peer === base ? undefined : of(base), metric)),
        ];
      }),
    );
    lines.push('', ...markdownTable(columns, rows));
  }
  return `${lines.join('\n')}\n`;
}

/** Returns the title of a metric with its unit and its better direction. */
export function headingOf({ title, unit, better }: Metric): string {
  const arrow = { more: ' ↑', less: ' ↓', none: '' }[better];
  return `${title}${unit === '' ? '' : `, ${unit}`}${arrow}`;
}

function cell(own: Summary | undefined, base: Summary | undefined, metric: Metric): string {
  if (own === undefined) return '–';
  const range = own.rounds > 1 ? ` (${short(own.min)}–${short(own.max)})` : '';
  const ratio =
    base === undefined || metric.better === 'none' ? '' : ` · ${short(own.median / base.median)}×`;
  return `${short(own.median)}${range}${ratio}`;
}

/** Formats a ratio: `0.69×`, `12×`. */
export function times(ratio: number): string {
  if (!Number.isFinite(ratio)) return '–';
  return `${ratio.toFixed(ratio >= 10 ? 0 : 2)}×`;
}

/** Formats a number with three significant digits. */
export function short(value: number): string {
  if (!Number.isFinite(value)) return '–';
  const size = Math.abs(value);
  return value.toFixed(size >= 100 || size === 0 ? 0 : size >= 10 ? 1 : size >= 0.1 ? 2 : 3);
}
