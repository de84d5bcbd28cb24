/** Asserts that errors are UserErrors with one line that names the fault, its place and the remedy. */

import type { Test } from 'tap';
import { UserError } from '../../src/control/support/user-error.js';

/** Returns the message of the UserError that `action` throws or rejects with; anything else fails the test. */
export async function refusal(t: Test, action: () => unknown, name = 'refused'): Promise<string> {
  try {
    await action();
  } catch (error) {
    t.ok(error instanceof UserError, `${name}: a UserError, not ${String(error)}`);
    const { message } = error as Error;
    t.notMatch(message, /[\n\r]/, `${name}: one line`);
    return message;
  }
  t.fail(`${name}: nothing was thrown`);
  return '';
}

/** Fails unless `message` contains every one of these. */
export function mentions(t: Test, message: string, ...parts: readonly (string | RegExp)[]): void {
  for (const part of parts) {
    const found = typeof part === 'string' ? message.includes(part) : part.test(message);
    t.ok(found, `"${message}" has ${part}`);
  }
}
