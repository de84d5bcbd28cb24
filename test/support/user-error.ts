/** What every refusal has to be: a UserError whose one line says what, where and what to do. */

import type { Test } from 'tap';
import { UserError } from '../../src/control/support/user-error.js';

/** The message of the UserError that `action` throws or rejects with; anything else fails the test. */
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

/** Fails unless `message` has every one of these in it. */
export function mentions(t: Test, message: string, ...parts: readonly (string | RegExp)[]): void {
  for (const part of parts) {
    const found = typeof part === 'string' ? message.includes(part) : part.test(message);
    t.ok(found, `"${message}" has ${part}`);
  }
}
