/**
 * Giving back what only starting up needed. Node maps some 90 MB of its own file, and starting touches half of it: the
 * snapshot, the compiler, the module loader. What forwarding needs comes back by itself, from the page cache.
 */

import { readFileSync } from 'node:fs';
import { MADV_DONTNEED } from './constants.js';
import { madvise } from './ffi.js';

const MAPPING = /^([0-9a-f]+)-([0-9a-f]+) r-.p \S+ \S+ [1-9]\d* +\//;
const ANONYMOUS = /^Anonymous: +(\d+) kB/m;

/**
 * Drops the pages of read-only file mappings from this process. Only of those that have no page of their own, as
 * relocated ones have (Anonymous in proc_pid_smaps(5)): the others are in the file as they are in memory.
 */
export function releaseFilePages(): void {
  // A new mapping begins with its addresses, everything else with a capital letter.
  for (const mapping of readFileSync('/proc/self/smaps', 'utf8').split(/\n(?=[0-9a-f]+-)/)) {
    const range = MAPPING.exec(mapping);
    if (range === null || ANONYMOUS.exec(mapping)?.[1] !== '0') continue;
    const [start, end] = [BigInt(`0x${range[1]}`), BigInt(`0x${range[2]}`)];
    madvise(start, Number(end - start), MADV_DONTNEED);
  }
}
