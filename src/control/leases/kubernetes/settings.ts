/** What is read beside the API server: net-conf.json and the flags' values, with flannel's words before each error. */

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

/** The annotations' prefix of --kube-annotation-prefix. @throws UserError */
export function prefixOf(text: string): string {
  try {
    return annotationPrefix(text);
  } catch (error) {
    throw prefixed('error creating network manager', error);
  }
}

/** flannel's queue of events, which a manifest may size, has no counterpart here. */
export function warnOfQueueDepth(): void {
  const { EVENT_QUEUE_DEPTH: depth } = process.env;
  if (depth === undefined || /^\d*$/.test(depth)) return;
  warn(`env EVENT_QUEUE_DEPTH=${depth} format error: no number; it has no effect here, there is no queue`);
}

/** A UserError with flannel's words before its own; any other error as it is. */
export function prefixed(words: string, error: unknown): unknown {
  return error instanceof UserError ? new UserError(`${words}: ${error.message}`) : error;
}
