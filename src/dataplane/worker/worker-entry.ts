/**
 * The start of a forwarding worker. An upgrade replaces the code on disk while the process still runs the old one; the two
 * may not understand each other. So no worker starts from code other than that of the first one.
 */

import { readFileSync } from 'node:fs';
import { type ResourceLimits, Worker } from 'node:worker_threads';
import { CodeReplaced } from '../errors.js';

export const WORKER_ENTRY = new URL('./worker.js', import.meta.url);

const RESOURCE_LIMITS: ResourceLimits = {
  /** Old space, in MB: code, and the FDB of tens of thousands of peers. */
  maxOldGenerationSizeMb: 32,
  /** Young space, in MB. Nothing is allocated per packet, so it only serves requests and warm-up. */
  maxYoungGenerationSizeMb: 4,
};

/** The code of each entry when its first worker started. */
const codes = new Map<string, Buffer>();

/** Returns whether the code on disk is another one than that of the first worker, or cannot be read. */
export function isReplaced(entry: URL): boolean {
  const code = codeOf(entry);
  const first = codes.get(entry.href) ?? code;
  if (code === undefined || first?.equals(code) !== true) return true;
  codes.set(entry.href, first);
  return false;
}

/** Starts a worker with the options of messages.ts. @throws CodeReplaced, or SystemError when no thread is left */
export function startWorker(entry: URL, workerData: object): Worker {
  if (isReplaced(entry)) throw new CodeReplaced();
  return new Worker(entry, { workerData, resourceLimits: RESOURCE_LIMITS });
}

/** Returns the bytes of a module; undefined if it cannot be read, as between two steps of an upgrade. */
function codeOf(entry: URL): Buffer | undefined {
  try {
    return readFileSync(entry);
  } catch {
    return undefined;
  }
}
