// `npm run demo`: the set-up, then lab/demo.ts in a private world, which ends with it.

import { main, ROOT } from './run.mjs';
import { setUp } from './setup.mjs';
import { runInWorld } from './world.mjs';

await main(async () => {
  await setUp(['demo']);
  return await runInWorld(`${ROOT}dist/lab/demo.js`, process.argv.slice(2));
});
