import { describeError } from '../../sys/describe-error.js';

/**
 * An error that the user can correct. Its message is one line: what failed, the value, where the value came from and what
 * to do. The command line prints the message without a stack and exits with 1.
 */
export class UserError extends Error {
  constructor(message: string) {
    super(message.replaceAll(/\s*\n\s*/g, ' '));
    this.name = 'UserError';
  }
}

/** Returns the one-line form of an error that is a defect of Weft. */
export function unexpectedError(error: unknown): UserError {
  return new UserError(`unexpected error: ${describeError(error)}; please report it`);
}

/** Formats a value for a message, as JSON of at most 60 characters. */
export function show(value: unknown): string {
  const text = JSON.stringify(value) ?? String(value);
  return text.length > 60 ? `${text.slice(0, 57)}...` : text;
}
