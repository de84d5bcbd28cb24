// `npm run fuzz -- [flags]`: the set-up, then the fuzzer. It needs no root and no namespace.

import { spawnSync } from 'node:child_process';
import { main, ROOT } from './run.mjs';
import { setUp } from './setup.mjs';

await main(async () => {
  await setUp([], { network: false });
  const argv = [`${ROOT}dist/test/fuzz/main.js`, ...process.argv.slice(2)];
  return spawnSync(process.execPath, argv, { stdio: 'inherit' }).status ?? 1;
});
