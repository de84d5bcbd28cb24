/** The module that a forwarding worker runs, and the limits of its heap. */

import type { ResourceLimits } from 'node:worker_threads';

export const WORKER_ENTRY = new URL('./worker.js', import.meta.url);

export const RESOURCE_LIMITS: ResourceLimits = {
  /** Old space, in MB: code, and the FDB of tens of thousands of peers. */
  maxOldGenerationSizeMb: 32,
  /** Young space, in MB. Nothing is allocated per packet, so it only serves requests and warm-up. */
  maxYoungGenerationSizeMb: 4,
};
