/** Progress on the terminal: one line per step, with the time it took. */

/** The error of a step that failed, with its cause. */
export class StepError extends Error {
  readonly step: string;

  constructor(step: string, cause: unknown) {
    super(cause instanceof Error ? cause.message : String(cause), { cause });
    this.step = step;
  }
}

/** Runs a step and prints its line. */
export async function step<T>(name: string, text: string, body: () => Promise<T>): Promise<T> {
  const line = `  ${name.padEnd(8)} ${text}`;
  const terminal = process.stdout.isTTY === true;
  // A terminal shows the line at once, a file or pipe only whole lines.
  if (terminal) process.stdout.write(line);
  const startedAt = performance.now();
  try {
    const result = await body();
    const seconds = ((performance.now() - startedAt) / 1000).toFixed(1);
    process.stdout.write(`${terminal ? '' : line} ${dots(line)} ${seconds.padStart(4)} s\n`);
    return result;
  } catch (error) {
    process.stdout.write(`${terminal ? '' : line} ${dots(line)} failed\n`);
    throw new StepError(name, error);
  }
}

function dots(line: string): string {
  return '.'.repeat(Math.max(3, 84 - line.length));
}
