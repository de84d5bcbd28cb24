/** The lab's private world and the paths of its files. */

import { fileURLToPath } from 'node:url';

/** Scratch space of the lab, on the tmpfs that scripts/world.mjs mounts; it disappears with the world. */
export const SCRATCH = '/run/weft-lab';

/** The compiled tree that this module was loaded from (dist/). */
export const DIST = fileURLToPath(new URL('../', import.meta.url));

/** The compiled weft command. */
export const WEFT_CLI = `${DIST}src/cli/weft.js`;

/** Throws outside the world that scripts/world.mjs makes, so that the lab never touches the host's network. */
export function requireWorld(): void {
  if (process.env.WEFT_WORLD === '1') return;
  throw new Error(
    'the lab builds network namespaces and devices, so it runs only in a private world: node scripts/world.mjs <script>',
  );
}
