/** Colours for the terminal. */

const CODES = { bold: 1, red: 31, green: 32 } as const;

/** Returns the text in a style. */
export type Paint = (style: keyof typeof CODES, text: string) => string;

/** Leaves the text alone: for files and pipes. */
export const plain: Paint = (_style, text) => text;

const coloured: Paint = (style, text) => `\x1b[${CODES[style]}m${text}\x1b[0m`;

/** Returns the paint for standard output: FORCE_COLOR and NO_COLOR decide, then whether it is a terminal. */
export function paintOfStdout(): Paint {
  const { FORCE_COLOR = '', NO_COLOR = '', TERM } = process.env;
  if (FORCE_COLOR !== '') return FORCE_COLOR === '0' ? plain : coloured;
  return process.stdout.isTTY === true && NO_COLOR === '' && TERM !== 'dumb' ? coloured : plain;
}
