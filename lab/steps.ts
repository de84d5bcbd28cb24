/** What a person sees while something longer runs: one line a step, with the time it took. */

/** A step that failed: says which, keeps why. */
export class StepError extends Error {
  readonly step: string;

  constructor(step: string, cause: unknown) {
    super(cause instanceof Error ? cause.message : String(cause), { cause });
    this.step = step;
  }
}

/** Runs a step and prints its line; what the step returns as text goes at the line's end in place of 'ok'. */
export async function step<T>(name: string, text: string, body: () => Promise<T>): Promise<T> {
  const line = `  ${name.padEnd(8)} ${text}`;
  const terminal = process.stdout.isTTY === true;
  // On a terminal the line appears at once; in a file or pipe only whole lines do.
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
