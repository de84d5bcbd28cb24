/** The characters of the screen, and sparklines of them. */

export interface Glyphs {
  /** Eight levels; the first one is zero. */
  readonly levels: string;
  /** Stands for what does not fit. */
  readonly ellipsis: string;
  readonly arrows: string;
}

export const UNICODE: Glyphs = { levels: '▁▂▃▄▅▆▇█', ellipsis: '…', arrows: '↑ ↓' };
export const ASCII: Glyphs = { levels: '_.:-=+*#', ellipsis: '~', arrows: 'up down' };

/** Returns the characters that the locale of the environment has: locale(7). */
export function glyphsOf({ LC_ALL, LC_CTYPE, LANG }: NodeJS.ProcessEnv): Glyphs {
  return /utf-?8/i.test(LC_ALL || LC_CTYPE || LANG || '') ? UNICODE : ASCII;
}

/** A rate of each sample, the newest last; undefined where Weft did not answer. */
export type History = readonly (number | undefined)[];

/** Returns the newest values as `width` characters, in proportion to the largest of them; a gap is a space. */
export function sparkline(history: History, width: number, { levels }: Glyphs): string {
  const shown = width > 0 ? history.slice(-width) : [];
  const largest = shown.reduce<number>((most, value) => Math.max(most, value ?? 0), 0);
  const top = levels.length - 1;
  return shown
    .map((value) => {
      if (value === undefined) return ' ';
      return levels.charAt(value > 0 ? Math.max(1, Math.round((value / largest) * top)) : 0);
    })
    .join('')
    .padStart(width);
}

/** Cuts a text that is too long at its end. */
export function cut(text: string, width: number, { ellipsis }: Glyphs): string {
  return text.length <= width ? text : `${text.slice(0, Math.max(0, width - 1))}${ellipsis}`;
}

/** Cuts a text that is too long in its middle: addresses differ at their ends. */
export function cutMiddle(text: string, width: number, { ellipsis }: Glyphs): string {
  if (text.length <= width) return text;
  const head = Math.floor((width - 1) / 2);
  return `${text.slice(0, head)}${ellipsis}${text.slice(text.length - (width - 1 - head))}`;
}
