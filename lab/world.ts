/** Where the lab runs and where its files are. */

import { fileURLToPath } from 'node:url';

/** Scratch space of the lab: on the tmpfs that scripts/world.mjs mounts, so it goes with the world. */
export const SCRATCH = '/run/weft-lab';

/** The compiled tree this module itself was loaded from (dist/): programs of the project are found beside it. */
export const DIST = fileURLToPath(new URL('../', import.meta.url));

/** The weft command, compiled. */
export const WEFT_CLI = `${DIST}src/cli/weft.js`;

/** Refuses to touch the network of the host: the lab runs only inside the world that scripts/world.mjs makes. */
export function requireWorld(): void {
  if (process.env.WEFT_WORLD === '1') return;
  throw new Error(
    'the lab builds network namespaces and devices, so it runs only in a private world: node scripts/world.mjs <script>',
  );
}
