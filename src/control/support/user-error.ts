/** Errors and values that Weft reports to its user. */

import { describeError } from '../../sys/describe-error.js';
import { oneLine } from '../../sys/one-line.js';
import type { FindingId } from '../doctor/finding-ids.js';
import { printable } from './printable.js';

/** A longer value of a message is cut off. */
const SHOWN = 60;

/**
 * An error that the user can correct. Its message is one line: what failed, the value, where the value came from and what
 * to do. The command line prints the message without a stack and exits with 1.
 */
export class UserError extends Error {
  /** What `weft doctor` shows instead of parts of the message. */
  readonly hint: FindingHint | undefined;

  constructor(message: string, hint?: FindingHint) {
    super(printable(oneLine(message)));
    this.name = 'UserError';
    this.hint = hint;
  }
}

/** The kind of a problem, why it matters, and the command that corrects it. */
export interface FindingHint {
  readonly id: FindingId;
  readonly why?: string;
  readonly fix?: string;
}

/** Returns the one-line form of an error that is a defect of Weft. */
export function unexpectedError(error: unknown): UserError {
  return new UserError(`unexpected error: ${describeError(error)}; please report it`);
}

/** Formats a value for a message, as printable JSON of at most 60 characters. */
export function show(value: unknown): string {
  const text = printable(json(value));
  return text.length > SHOWN ? `${text.slice(0, SHOWN - 3)}...` : text;
}

function json(value: unknown): string {
  if (typeof value === 'string' && value.length > SHOWN) return JSON.stringify(value.slice(0, SHOWN));
  return JSON.stringify(value) ?? String(value);
}
