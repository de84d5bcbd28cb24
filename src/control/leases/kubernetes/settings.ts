/** net-conf.json and flags, with flannel's words before each error. */

import { FLAG, type NetConf, netConfOf } from '../../config/net-conf.js';
import { JsonFile, readText } from '../../support/json-file.js';
import { warn } from '../../support/log.js';
import { UserError } from '../../support/user-error.js';
import { annotationPrefix } from './annotations.js';

/** @throws UserError */
export async function loadNetConf(path: string): Promise<NetConf> {
  const text = await readText(FLAG, path).catch((error: unknown) => {
    throw prefixed('failed to read net conf', error);
  });
  try {
    return netConfOf(JsonFile.parse(FLAG, path, text), { ranges: false });
  } catch (error) {
    throw prefixed('error parsing subnet config', error);
  }
}

/** Returns the annotation prefix for --kube-annotation-prefix. @throws UserError */
export function prefixOf(text: string): string {
  try {
    return annotationPrefix(text);
  } catch (error) {
    throw prefixed('error creating network manager', error);
  }
}

/** Warns of a bad EVENT_QUEUE_DEPTH, with which manifests size flannel's event queue; Weft has no such queue. */
export function warnOfQueueDepth(): void {
  const { EVENT_QUEUE_DEPTH: depth } = process.env;
  if (depth === undefined || /^\d*$/.test(depth)) return;
  warn(
    `env EVENT_QUEUE_DEPTH=${depth} format error: not a number; Weft ignores it, because it has no event queue`,
  );
}

/** Returns a UserError with flannel's words prepended; any other error unchanged. */
export function prefixed(words: string, error: unknown): unknown {
  return error instanceof UserError ? new UserError(`${words}: ${error.message}`) : error;
}
