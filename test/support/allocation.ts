/**
 * Measures the JavaScript heap that code allocates. Use it in a process of its own with --expose-gc and a young
 * generation so large that no collection runs during the measurement.
 */

import { PerformanceObserver } from 'node:perf_hooks';
import { setImmediate as nextTick } from 'node:timers/promises';
import { getHeapSpaceStatistics } from 'node:v8';

export interface Allocation {
  /** Allocated bytes, garbage included. */
  bytes: number;
  /** Garbage collections while the code ran; more than 0 makes `bytes` too small. */
  collections: number;
}

declare const gc: () => void;

/** The heap spaces of objects; code and its metadata have others. */
const SPACES = new Set(['new_space', 'old_space', 'new_large_object_space', 'large_object_space']);

function usedBytes(): number {
  return getHeapSpaceStatistics()
    .filter(({ space_name }) => SPACES.has(space_name))
    .reduce((sum, { space_used_size }) => sum + space_used_size, 0);
}

/** Runs `body` and returns what it allocated. Warm it up first: compilation allocates too. */
export async function allocationOf(body: () => void): Promise<Allocation> {
  const starts: number[] = [];
  const observer = new PerformanceObserver((list) => {
    for (const entry of list.getEntries()) starts.push(entry.startTime);
  });
  observer.observe({ entryTypes: ['gc'] });
  gc();
  const from = performance.now();
  const before = usedBytes();
  body();
  const bytes = usedBytes() - before;
  const to = performance.now();
  // The observer learns of a collection some turns of the event loop later.
  for (let turn = 0; turn < 10; turn++) await nextTick();
  observer.disconnect();
  return { bytes, collections: starts.filter((start) => start > from && start < to).length };
}
