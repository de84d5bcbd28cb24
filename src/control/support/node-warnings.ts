/** Node's own warnings, such as deprecations, as lines of the log. */

import type { Worker } from 'node:worker_threads';
import { warn } from './log.js';

/**
 * Replaces Node's listener, which writes unformatted text to stderr. With --no-warnings or NODE_NO_WARNINGS=1 there is no
 * listener, and the warnings stay off.
 */
export function logNodeWarnings(): void {
  if (process.listenerCount('warning') === 0) return;
  process.removeAllListeners('warning');
  process.on('warning', logWarning);
  process.on('worker', logOutputOf);
}

function logWarning({ name, message, ...more }: Error): void {
  const { code, detail } = more as { code?: string; detail?: string };
  const kind = code === undefined ? name : `${name} ${code}`;
  warn(`Node.js: ${kind}: ${message}${detail === undefined ? '' : `; ${detail}`}`);
}

/** A worker writes its warnings to its own stderr, which Node pipes to that of the process. */
function logOutputOf({ stderr }: Worker): void {
  stderr.unpipe(process.stderr);
  stderr.setEncoding('utf8').on('data', (text: string) => warn(`Node.js worker: ${text.trim()}`));
  // unpipe pauses the stream.
  stderr.resume();
}
