// `npm run docs`: writes the tables of flags in docs/configuration.md from the definitions in src/cli/flags.ts.
//
// A unit test fails while the page is not current.

import { readFileSync, writeFileSync } from 'node:fs';
import { withFlagTables } from './docs-flags.mjs';
import { main, ROOT, say } from './run.mjs';
import { setUp } from './setup.mjs';

const PAGE = 'docs/configuration.md';

await main(async () => {
  await setUp([]);
  const { FLANNEL_FLAGS, WEFT_FLAGS } = await import(`${ROOT}dist/src/cli/flags.js`);
  const { variableOf } = await import(`${ROOT}dist/src/cli/environment.js`);
  const before = readFileSync(`${ROOT}${PAGE}`, 'utf8');
  const after = withFlagTables(before, { flannel: FLANNEL_FLAGS, weft: WEFT_FLAGS, variableOf });
  writeFileSync(`${ROOT}${PAGE}`, after);
  say(`${PAGE} ${after === before ? 'is current' : 'written'}`);
});
