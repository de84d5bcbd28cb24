/** net-conf.json and flags, with flannel's words before each error. */

import { FLAG, type NetConf, netConfOf } from '../../config/net-conf.js';
import { JsonFile, readText } from '../../support/json-file.js';
import { warn } from '../../support/log.js';
import { UserError } from '../../support/user-error.js';

/** @throws UserError */
export async function loadNetConf(path: string): Promise<NetConf> {
  const text = await prefixErrors('failed to read net conf', () => readText(FLAG, path));
  return await prefixErrors('error parsing subnet config', () =>
    netConfOf(JsonFile.parse(FLAG, path, text), { ranges: false }),
  );
}

/** Warns of a bad EVENT_QUEUE_DEPTH, with which manifests size flannel's event queue; Weft has no such queue. */
export function warnOfQueueDepth(): void {
  const { EVENT_QUEUE_DEPTH: depth } = process.env;
  if (depth === undefined || /^\d*$/.test(depth)) return;
  warn(
    `env EVENT_QUEUE_DEPTH=${depth} format error: not a number; Weft ignores it, because it has no event queue`,
  );
}

/** Runs an action; prepends flannel's words to a UserError of it. */
export async function prefixErrors<T>(words: string, action: () => T | Promise<T>): Promise<T> {
  try {
    return await action();
  } catch (error) {
    throw error instanceof UserError ? new UserError(`${words}: ${error.message}`) : error;
  }
}
