/**
 * An error for the person at the keyboard: one line that says what is wrong, the value, where it came from and what to
 * do. The command line prints the message alone and exits with 1.
 */
export class UserError extends Error {
  constructor(message: string) {
    super(message.replaceAll(/\s*\n\s*/g, ' '));
    this.name = 'UserError';
  }
}

/** A value in a message: JSON, cut to a length that keeps the line readable. */
export function show(value: unknown): string {
  const text = JSON.stringify(value) ?? String(value);
  return text.length > 60 ? `${text.slice(0, 57)}...` : text;
}
