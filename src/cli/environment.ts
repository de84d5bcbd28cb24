/** flannel's environment: a variable for every flag. */

import { show } from '../control/support/user-error.js';
import type { Flags, ValuesOf } from './flag.js';

/** The variable of a flag: `etcd-endpoints` is FLANNELD_ETCD_ENDPOINTS. */
export function variableOf(flag: string): string {
  return `FLANNELD_${flag.toUpperCase().replaceAll('-', '_')}`;
}

/**
 * Gives each flag that the command line left out the value of its variable, unless that is empty.
 * @returns flannel's sentences on values that are no good; their flags keep what they have
 */
export function applyEnvironment<Table extends Flags>(
  table: Table,
  values: ValuesOf<Table>,
  given: ReadonlySet<string>,
  environment: NodeJS.ProcessEnv,
): string[] {
  const complaints: string[] = [];
  for (const [name, flag] of Object.entries(table)) {
    const variable = variableOf(name);
    const text = environment[variable] ?? '';
    if (text === '' || given.has(name)) continue;
    try {
      values[name as keyof Table] = flag.parse(text, flag.initial) as ValuesOf<Table>[keyof Table];
    } catch (error) {
      complaints.push(
        `Failed to set flag FLANNELD from env: invalid value ${show(text)} for ${variable}: ${(error as Error).message}`,
      );
    }
  }
  return complaints;
}
