// `npm run vm -- [flags]`: the set-up, the guests, then bench/vm in a private world.

import { makeGuests } from './guest.mjs';
import { main, ROOT, SetupError } from './run.mjs';
import { setUp } from './setup.mjs';
import { runInWorld } from './world.mjs';

await main(async () => {
  const args = process.argv.slice(2);
  await setUp(['vm']);
  const { parseOptions } = await import(`${ROOT}dist/bench/vm/options.js`);
  const options = parsed(() => parseOptions(args));
  const suites = options === 'help' ? [] : [...options.kernels, ...options.oldKernels];
  const images = await makeGuests(suites);
  return await runInWorld(`${ROOT}dist/bench/vm/index.js`, args, { WEFT_GUESTS: JSON.stringify(images) });
});

/** Returns the options; a wrong flag is one line. */
function parsed(parse) {
  try {
    return parse();
  } catch (error) {
    throw new SetupError(`vm: ${error instanceof Error ? error.message : error}`);
  }
}
