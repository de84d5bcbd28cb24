/** Heap settings of the whole process and of threads started later. */

import { setFlagsFromString } from 'node:v8';

/**
 * Old space in MB that a heap may use before its first collection. That collection would otherwise come with the first
 * traffic, when the forwarding code is being compiled.
 */
const INITIAL_OLD_SPACE_MB = 16;

/** Adjusts V8 for forwarding threads; call it once, before the first one starts. */
export function tuneHeap(): void {
  setFlagsFromString(`--initial-old-space-size=${INITIAL_OLD_SPACE_MB}`);
  // Incremental marking runs on control's thread whenever it is idle, on a core that packets could use.
  setFlagsFromString('--no-incremental-marking');
}
