/** Draws the text of a terminal as SVG: one size, one line per text element, light and dark. */

/** Columns and lines of the picture's terminal. */
export const COLUMNS = 80;
export const LINES = 24;

const FONT_SIZE = 14;
/** The width of a character; the text is stretched to it, because each system has another monospaced font. */
const ADVANCE = 8.4;
const LINE_HEIGHT = 19;
const PADDING = 16;

const STYLE = `<style>
text { font: ${FONT_SIZE}px ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace; white-space: pre }
rect { fill: #f6f8fa; stroke: #d0d7de } text { fill: #1f2328 } .red { fill: #cf222e } .green { fill: #1a7f37 } .bold { font-weight: bold }
@media (prefers-color-scheme: dark) {
rect { fill: #161b22; stroke: #30363d } text { fill: #e6edf3 } .red { fill: #ff7b72 } .green { fill: #3fb950 }
}
</style>`;

/** The classes of the styles of lab/paint.ts. */
const CLASSES: Readonly<Record<string, string>> = { 1: 'bold', 31: 'red', 32: 'green' };

/** Returns the SVG of lines that may have the styles of lab/paint.ts. `title` is for screen readers. */
export function terminalSvg(title: string, lines: readonly string[]): string {
  const width = 2 * PADDING + COLUMNS * ADVANCE;
  const height = 2 * PADDING + lines.length * LINE_HEIGHT;
  const texts = lines.flatMap((line, index) => {
    const spans = spansOf(line);
    const length = [...spans.map(({ text }) => text).join('')].length;
    if (length === 0) return [];
    const y = PADDING + index * LINE_HEIGHT + FONT_SIZE;
    const place = `x="${PADDING}" y="${y}" textLength="${(length * ADVANCE).toFixed(1)}"`;
    return [`<text ${place} xml:space="preserve">${spans.map(markup).join('')}</text>`];
  });
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}">`,
    `<title>${escaped(title)}</title>`,
    STYLE,
    `<rect x="0.5" y="0.5" width="${width - 1}" height="${height - 1}" rx="6"/>`,
    ...texts,
    '</svg>\n',
  ].join('\n');
}

interface Span {
  readonly text: string;
  readonly style: string | undefined;
}

/** Splits a line at its escape sequences. */
function spansOf(line: string): Span[] {
  // The odd parts are the numbers of the sequences.
  const parts = line.trimEnd().split(new RegExp(`${String.fromCharCode(27)}\\[(\\d*)m`));
  return parts.flatMap((text, index) =>
    index % 2 === 1 || text === '' ? [] : [{ text, style: CLASSES[parts[index - 1] ?? ''] }],
  );
}

function markup({ text, style }: Span): string {
  return style === undefined ? escaped(text) : `<tspan class="${style}">${escaped(text)}</tspan>`;
}

function escaped(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
}
