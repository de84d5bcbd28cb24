/** The chart of the speed on a terminal of 80 columns. */

import type { Result } from '../netns/result.js';
import { labelOf, nameOf, panelsOf } from './panels.js';

/** The longest bar: two blanks, two columns of names and the value leave this. */
const BAR_WIDTH = 34;

/** Returns the lines of the chart. */
export function terminalChart({ summary }: Result): string[] {
  return panelsOf(summary).flatMap(({ title, categories, bars }) => {
    const values = [...bars.values()].flat().flatMap((bar) => bar?.value ?? []);
    const largest = Math.max(...values);
    const rows = categories.flatMap((category, index) =>
      [...bars].flatMap(([peer, ofPeer]) => {
        const bar = ofPeer[index];
        if (bar === undefined) return [];
        const length = Math.max(1, Math.round((BAR_WIDTH * bar.value) / largest));
        return [`  ${category.padEnd(9)} ${nameOf(peer).padEnd(16)} ${'█'.repeat(length)} ${labelOf(bar)}`];
      }),
    );
    return [title, ...rows, ''];
  });
}
