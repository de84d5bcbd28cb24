/** A part of Weft that is fuzzed. */
export interface Target {
  readonly name: string;
  /**
   * Runs the inputs of one seed, at most about `limit`, and returns their number.
   * @throws FuzzFailure
   */
  run(seed: number, limit: number): Promise<number> | number;
  /** Runs a recorded input; returns why it fails, or undefined. Undefined for an input of another target. */
  replay(text: string): Promise<string | undefined> | string | undefined;
}

/** An input that Weft handled wrongly. */
export interface FuzzFailure extends Error {
  /** The input, as `replay` reads it. */
  readonly text: string;
}

export function isFuzzFailure(error: unknown): error is FuzzFailure {
  return error instanceof Error && 'text' in error;
}
