/** A heap that is kept small rather than fast, for as long as a list of thousands of nodes goes through it. */

import { setFlagsFromString } from 'node:v8';

/**
 * V8 looks at this flag whenever it decides how far the heap may grow before the next collection (Heap::
 * CurrentHeapGrowingMode). Five thousand nodes are 64 MB of JSON of which 3 MB stay: docs/decisions/0010 has what it
 * gives and costs.
 */
export async function withSmallHeap<T>(work: () => Promise<T>): Promise<T> {
  setFlagsFromString('--optimize-for-size');
  try {
    return await work();
  } finally {
    setFlagsFromString('--no-optimize-for-size');
  }
}
