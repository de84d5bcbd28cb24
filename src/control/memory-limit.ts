/** A warning of a memory limit under which the kernel kills Weft, usually before it can report anything else. */

import { warn } from './support/log.js';

/**
 * What a node of a small cluster needs. With leases from Kubernetes and Node.js 24 the kernel kills it at a limit of 60 MiB,
 * and not at 70. The rest is for the code of Node.js, which the kernel would read from the disk again and again.
 */
const NEEDED_MIB = 96;

/** Warns if the control group of this process has less memory than Weft needs. */
export function warnOfMemoryLimit(limit = process.constrainedMemory()): void {
  const mebibytes = Math.floor(limit / (1 << 20));
  // Without a limit it is 0, or more than the memory of the machine.
  if (limit === 0 || mebibytes >= NEEDED_MIB) return;
  warn(
    `memory limit of ${mebibytes} MiB: the kernel may kill Weft, which needs ${NEEDED_MIB} MiB; raise resources.limits.memory in the manifest, or MemoryMax in the unit`,
  );
}
