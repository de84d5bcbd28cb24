/** Progress on the terminal: one line per step, with the time it took. */

/** The columns of the narrowest terminal that the lines are for, less the one behind the cursor. */
const WIDTH = 79;
/** Behind the dots: blank, five columns of number, blank, unit. */
const TIME_WIDTH = 8;

/** Shows how far a step is, at the end of its line. A file or a pipe does not get it. */
export type Update = (state: string) => void;

/** The error of a step that failed, with its cause. */
export class StepError extends Error {
  readonly step: string;

  constructor(step: string, cause: unknown) {
    super(cause instanceof Error ? cause.message : String(cause), { cause });
    this.step = step;
  }
}

/** Runs a step and prints its line. A terminal shows the line at once, a file or a pipe the finished one. */
export async function step<T>(name: string, text: string, body: (update: Update) => Promise<T>): Promise<T> {
  const line = `  ${name.padEnd(8)} ${text}`;
  const terminal = process.stdout.isTTY === true;
  const show = (shown: string) => process.stdout.write(terminal ? inPlace(shown) : '');
  show(line);
  const startedAt = performance.now();
  try {
    const result = await body((state) => show(`${line} ${state}`.slice(0, WIDTH)));
    const seconds = ((performance.now() - startedAt) / 1000).toFixed(1);
    show('');
    process.stdout.write(`${line} ${dots(line)} ${seconds.padStart(5)} s\n`);
    return result;
  } catch (error) {
    show('');
    process.stdout.write(`${line} ${dots(line)}  failed\n`);
    throw new StepError(name, error);
  }
}

/** Returns the text that replaces the terminal's current line. */
export function inPlace(line: string): string {
  return `\r\x1b[K${line}`;
}

function dots(line: string): string {
  return '.'.repeat(Math.max(1, WIDTH - TIME_WIDTH - 1 - line.length));
}
