/**
 * Gives pages back to the kernel: those that only start-up needed, and the rings of a capture. Node maps some 90 MB of its
 * own binary, and start-up touches half of it: the snapshot, the compiler, the module loader. Pages that forwarding needs
 * return from the page cache on access.
 */

import { readFileSync } from 'node:fs';
import { MADV_DONTNEED } from './constants.js';
import { addressOf, madvise } from './ffi.js';

const MAPPING = /^([0-9a-f]+)-([0-9a-f]+) r-.p \S+ \S+ [1-9]\d* +\//;
const ANONYMOUS = /^Anonymous: +(\d+) kB/m;

/**
 * Drops the pages of read-only file mappings from this process. Mappings with private pages, such as relocated ones, are
 * left alone (Anonymous in proc_pid_smaps(5)): the file does not have their content.
 */
export function releaseFilePages(): void {
  // Each mapping begins with a line of addresses; its other lines begin with a capital letter.
  for (const mapping of readFileSync('/proc/self/smaps', 'utf8').split(/\n(?=[0-9a-f]+-)/)) {
    const range = MAPPING.exec(mapping);
    if (range === null || ANONYMOUS.exec(mapping)?.[1] !== '0') continue;
    const [start, end] = [BigInt(`0x${range[1]}`), BigInt(`0x${range[2]}`)];
    madvise(start, Number(end - start), MADV_DONTNEED);
  }
}

/** The largest page of an architecture that Weft runs on: arm64 with pages of 64 KiB. */
const LARGEST_PAGE = 65536n;

/** Gives the pages of memory that nothing reads any more back to the kernel. Their content is lost. */
export function discardPages(bytes: Uint8Array): void {
  const address = addressOf(bytes);
  const start = ((address + LARGEST_PAGE - 1n) / LARGEST_PAGE) * LARGEST_PAGE;
  const end = ((address + BigInt(bytes.length)) / LARGEST_PAGE) * LARGEST_PAGE;
  if (end > start) madvise(start, Number(end - start), MADV_DONTNEED);
}
