// `npm run demo`: sets itself up, then runs lab/demo.ts in a private world. Nothing is left behind, however it ends.

import { main, ROOT } from './run.mjs';
import { setUp } from './setup.mjs';
import { runInWorld } from './world.mjs';

await main(async () => {
  await setUp(['demo']);
  return await runInWorld(`${ROOT}dist/lab/demo.js`, process.argv.slice(2));
});
