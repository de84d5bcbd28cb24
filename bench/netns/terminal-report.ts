/** The table of medians for a terminal of 80 columns. */

import { textTable } from '../../lab/table.js';
import type { VethMode } from '../../lab/underlay.js';
import type { Figure } from './figure.js';
import { headingOf, type Summary, short, times } from './report.js';

const WIDTH = 80;
/** `5.95 0.69×` */
const CELL_WIDTH = 10;

/** What the links of a mode are. */
export const LINKS: Readonly<Record<VethMode, string>> = {
  plain: 'plain links (no offloads)',
  virt: 'virt links (with offloads)',
};

/** Returns the lines of the table: a median for each peer, and its ratio to the first one. */
export function terminalReport(
  summaries: readonly Summary[],
  modes: readonly VethMode[],
  figures: readonly Figure[],
  peers: readonly string[],
): string[] {
  const [base = ''] = peers;
  const titleWidth = Math.max(20, WIDTH - peers.length * (CELL_WIDTH + 2));
  const lines = [`Medians; × is the ratio to ${base}; ↑ more is better, ↓ less is.`];
  for (const mode of modes) {
    const rows = figures.flatMap((figure) =>
      figure.metrics.flatMap((metric) => {
        const of = (peer: string) =>
          summaries.find(
            (one) =>
              one.mode === mode &&
              one.figure === figure.name &&
              one.metric === metric.key &&
              one.peer === peer,
          )?.median;
        if (metric.better === 'none' || peers.every((peer) => of(peer) === undefined)) return [];
        const cells = peers.map((peer) => cell(of(peer), peer === base ? undefined : of(base)));
        const title = wrapped(headingOf(metric), titleWidth);
        // The values are beside the last line of the title.
        return title.map((line, index) => [
          line,
          ...(index === title.length - 1 ? cells : peers.map(() => '')),
        ]);
      }),
    );
    const columns = [{ title: LINKS[mode] }, ...peers.map((title) => ({ title, right: true }))];
    if (rows.length > 0) lines.push('', ...textTable(columns, rows));
  }
  return lines;
}

function cell(own: number | undefined, base: number | undefined): string {
  if (own === undefined) return '–';
  return base === undefined ? short(own) : `${short(own)} ${times(own / base)}`;
}

function wrapped(text: string, width: number): string[] {
  const lines: string[] = [];
  // The arrow stays beside the word before it.
  for (const word of text.split(/ (?![↑↓])/)) {
    const last = lines.at(-1);
    if (last !== undefined && last.length + 1 + word.length <= width)
      lines[lines.length - 1] = `${last} ${word}`;
    else lines.push(lines.length === 0 ? word : `  ${word}`);
  }
  return lines;
}
