/** Texts of the commands: lines of at most 80 columns, short numbers, times and ages. */

/** Columns of the narrowest terminal. */
export const COLUMNS = 80;

/** Breaks a text at spaces into lines of at most `width` columns; a longer word has a line of its own. */
export function broken(text: string, width: number): string[] {
  const lines: string[] = [];
  let line = '';
  for (const word of text.split(' ')) {
    if (line !== '' && line.length + 1 + word.length > width) {
      lines.push(line);
      line = word;
    } else line = line === '' ? word : `${line} ${word}`;
  }
  return [...lines, line];
}

/** Returns a text in lines that fit, of which the first one begins with `first`, the others with as many spaces. */
export function wrapped(text: string, first: string): string {
  return broken(text, COLUMNS - first.length)
    .map((line, index) => `${(index === 0 ? first : ' '.repeat(first.length)) + line}`.trimEnd())
    .map((line) => `${line}\n`)
    .join('');
}

/** Returns rows of a label and a text that fits beside it. */
export function rows(labelled: readonly (readonly string[])[]): string {
  const width = Math.max(0, ...labelled.map(([label = '']) => label.length));
  return labelled.map(([label = '', text = '']) => wrapped(text, `  ${label.padEnd(width)}  `)).join('');
}

/** Formats rows as aligned columns, with numbers on the right. */
export function table(cells: readonly (readonly string[])[]): string {
  const widths = (cells[0] ?? []).map((_, column) =>
    Math.max(...cells.map((row) => (row[column] ?? '').length)),
  );
  return cells
    .map((row) =>
      row
        .map((cell, column) => {
          const width = widths[column] ?? 0;
          return /^[\d.]+$/.test(cell) && !/\..*\./.test(cell) ? cell.padStart(width) : cell.padEnd(width);
        })
        .join('  ')
        .trimEnd(),
    )
    .map((line) => `  ${line}\n`)
    .join('');
}

/** Joins the parts that are present. */
export function listed(...parts: readonly (string | false | undefined)[]): string {
  return parts.filter(Boolean).join(', ');
}

/** Returns a number in at most four characters: 999, 1.2k, 34M. */
export function short(value: number): string {
  let rest = value;
  for (const unit of ['', 'k', 'M', 'G', 'T', 'P']) {
    if (Math.round(rest) < 1000)
      return rest < 9.95 && unit !== '' ? rest.toFixed(1) + unit : `${Math.round(rest)}${unit}`;
    rest /= 1000;
  }
  return value.toExponential(0);
}

/** Returns a number of bytes: `999 B`, `1.2 kB`, `34 MB`. */
export function bytes(value: number): string {
  const [, number = '', unit = ''] = /^([\d.]+)(\D?)/.exec(short(value)) ?? [];
  return `${number} ${unit}B`;
}

/** Returns a duration in its largest unit: 59s, 12m, 23h, 9d. */
export function age(seconds: number): string {
  if (seconds < 60) return `${seconds}s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)}m`;
  if (seconds < 86_400) return `${Math.floor(seconds / 3600)}h`;
  return `${Math.floor(seconds / 86_400)}d`;
}

/** Returns `1 packet` or `2 packets`. */
export function count(number: number, noun: string): string {
  return `${number} ${noun}${number === 1 ? '' : 's'}`;
}

/** Returns a time span as a clock shows it, with days in front. */
export function clock(seconds: number): string {
  const days = Math.floor(seconds / 86400);
  const time = new Date((seconds % 86400) * 1000).toISOString().slice(11, 19);
  return days > 0 ? `${days} d ${time}` : time;
}

/** Splits the message of an obstacle into what is wrong, and the remedy if it has one. */
export function splitObstacle(message: string): [what: string, remedy?: string] {
  const end = message.indexOf('; ');
  return end < 0 ? [message] : [message.slice(0, end), message.slice(end + 2)];
}
