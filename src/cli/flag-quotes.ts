/** Values in quotes: in manifests and env files no shell removes them, and they would be part of a path or an address. */

import { quotesRemedy } from '../control/support/quotes.js';
import { show, UserError } from '../control/support/user-error.js';
import { variableOf } from './environment.js';
import type { Flags, ValuesOf } from './flag.js';
import { withoutUserInfo } from './flags-config.js';

/** Refuses texts in quotes; `given` has the flags of the command line. @throws UserError that names flag or variable */
export function refuseQuotes<Table extends Flags>(
  table: Table,
  values: ValuesOf<Table>,
  given: ReadonlySet<string>,
): void {
  for (const [name, { quotable }] of Object.entries(table)) {
    if (quotable === true) continue;
    const value: unknown = values[name as keyof Table];
    // A list of URLs may have quotes around each.
    const texts = [value]
      .flat()
      .flatMap((text) => (typeof text === 'string' ? [text, ...text.split(',')] : []));
    for (const text of texts) refuseQuoted(text, given.has(name) ? `--${name}` : variableOf(name));
  }
}

/** @throws UserError if the text is in quotes; `origin` names the flag or the variable */
export function refuseQuoted(text: string, origin: string): void {
  const remedy = quotesRemedy(text);
  if (remedy === undefined) return;
  const shown = text.includes('://') ? withoutUserInfo(text) : text;
  throw new UserError(`invalid value ${show(shown)} for ${origin}: ${remedy}`);
}
