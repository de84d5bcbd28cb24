/** Heap settings of the whole process and of threads started later. */

import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { mallocTrim } from './ffi.js';

/**
 * Old space in MB that a heap may use before its first collection. That collection would otherwise come with the first
 * traffic, when the forwarding code is being compiled.
 */
const INITIAL_OLD_SPACE_MB = 16;

/** By how much a heap may grow before it is collected again, in percent; V8 adds 8 MiB. Its default is up to 300. */
const GROWTH_PERCENT = 20;

/** Adjusts V8 for forwarding threads; call it once, before the first one starts. */
export function tuneHeap(): void {
  setFlagsFromString(`--initial-old-space-size=${INITIAL_OLD_SPACE_MB}`);
  setFlagsFromString(`--heap-growing-percent=${GROWTH_PERCENT}`);
  // It collects garbage when control is idle, on a core that packets could use. Control allocates too little to need it.
  setFlagsFromString('--no-memory-reducer');
}

/**
 * Keeps the heap of control small. By default V8 doubles the young space up to 32 MiB, resident for good, while leases
 * change; and the old space collects at least 8 MiB of garbage, with --optimize-for-size 2 MiB (Heap::CurrentHeapGrowingMode).
 * The flags are of the whole process, and V8 resets the first one for each new thread (Heap::ConfigureHeap): each thread
 * calls this first.
 */
export function keepHeapSmall(): void {
  setFlagsFromString('--semi-space-growth-factor=1');
  setFlagsFromString('--optimize-for-size');
}

/** Collects the garbage of the start. Until the first collection V8 guesses how much a heap needs, 16 MiB. */
function collectGarbage(): void {
  if (gc === undefined) {
    setFlagsFromString('--expose-gc');
    gc = runInNewContext('gc') as () => void;
  }
  gc();
  usedAfter = usedMemory();
}

let gc: (() => void) | undefined;
/** The used memory after the last call of `collectGarbage`, in bytes. */
let usedAfter = 0;

/** Returns the bytes of the heap, and of the buffers outside it. */
function usedMemory(): number {
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}

/** So much garbage is worth a collection, which takes some 10 ms. */
const GARBAGE_BYTES = 4 * 1024 * 1024;

/** Returns memory that leases and checks have left to the kernel. V8 and malloc would keep it for later. */
export function releaseGarbage(): void {
  if (usedMemory() - usedAfter > GARBAGE_BYTES) collectGarbage();
  mallocTrim();
}
