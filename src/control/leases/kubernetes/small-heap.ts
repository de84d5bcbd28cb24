/** V8's heap kept small while thousands of nodes are listed. */

import { setFlagsFromString } from 'node:v8';

/**
 * Runs the work with --optimize-for-size, which V8 reads before each growth of the heap (Heap::CurrentHeapGrowingMode). A
 * list of 5000 nodes is 64 MB of JSON, of which 3 MB stay; docs/decisions/0010 has the measured gain and cost.
 */
export async function withSmallHeap<T>(work: () => Promise<T>): Promise<T> {
  setFlagsFromString('--optimize-for-size');
  try {
    return await work();
  } finally {
    setFlagsFromString('--no-optimize-for-size');
  }
}
