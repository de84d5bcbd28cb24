/** Aligned columns, for terminals and for Markdown. */

/** A column's heading and alignment. */
export interface Column {
  readonly title: string;
  readonly right?: boolean;
}

/** Returns the lines of a table with aligned columns, two spaces between. */
export function textTable(columns: readonly Column[], rows: readonly (readonly string[])[]): string[] {
  const widths = widthsOf(columns, rows);
  const line = (cells: readonly string[]) =>
    columns
      .map((column, index) => pad(cells[index], widths[index], column.right === true))
      .join('  ')
      .trimEnd();
  return [line(columns.map((column) => column.title)), ...rows.map(line)];
}

/** Returns the lines of a Markdown table, aligned in the source too. */
export function markdownTable(columns: readonly Column[], rows: readonly (readonly string[])[]): string[] {
  const widths = widthsOf(columns, rows).map((width) => Math.max(width, 3));
  const line = (cells: readonly string[]) =>
    `| ${columns.map((column, index) => pad(cells[index], widths[index], column.right === true)).join(' | ')} |`;
  const rule = columns.map((column, index) => {
    const width = widths[index];
    return column.right === true ? `${'-'.repeat(width - 1)}:` : '-'.repeat(width);
  });
  return [line(columns.map((column) => column.title)), `| ${rule.join(' | ')} |`, ...rows.map(line)];
}

function widthsOf(columns: readonly Column[], rows: readonly (readonly string[])[]): number[] {
  return columns.map((column, index) =>
    Math.max(column.title.length, ...rows.map((row) => row[index].length)),
  );
}

function pad(text: string, width: number, right: boolean): string {
  return right ? text.padStart(width) : text.padEnd(width);
}
