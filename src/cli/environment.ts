/** flannel's environment: each flag has a variable. */

import { quotesRemedy } from '../control/support/quotes.js';
import { show } from '../control/support/user-error.js';
import type { Flags, ValuesOf } from './flag.js';

/**
 * Sets each flag that is not on the command line to the value of its variable, unless that is empty. A flag with an
 * invalid value in its variable keeps its default. Returns flannel's error texts for these.
 */
export function applyEnvironment<Table extends Flags>(
  table: Table,
  values: ValuesOf<Table>,
  given: ReadonlySet<string>,
  environment: NodeJS.ProcessEnv,
): string[] {
  const problems: string[] = [];
  for (const [name, flag] of Object.entries(table)) {
    const variable = variableOf(name);
    const text = environment[variable] ?? '';
    if (text === '' || given.has(name)) continue;
    try {
      values[name as keyof Table] = flag.parse(text, flag.initial) as ValuesOf<Table>[keyof Table];
    } catch (error) {
      problems.push(
        `Failed to set flag FLANNELD from env: invalid value ${show(text)} for ${variable}: ${quotesRemedy(text) ?? (error as Error).message}`,
      );
    }
  }
  return problems;
}

/** Returns the name of a flag's variable. */
export function variableOf(flag: string): string {
  return `FLANNELD_${flag.toUpperCase().replaceAll('-', '_')}`;
}
