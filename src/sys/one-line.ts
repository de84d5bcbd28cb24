/** A text of several lines, such as another program's error, in one line. */

/** Joins the lines of a text with spaces, without the white space around each. */
export function oneLine(text: string): string {
  // No pattern like /\s*\n\s*/: on a long run of spaces it takes quadratic time.
  if (!/[\r\n]/.test(text)) return text;
  return text
    .split(/[\r\n]/)
    .map((line) => line.trim())
    .filter((line) => line !== '')
    .join(' ');
}
