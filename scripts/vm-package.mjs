// `npm run vm:package [-- --arch arm64,amd64]`: builds the Debian packages, makes the guests, then runs bench/package in a
// private world.

import { mkdirSync, readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { makePackageGuest } from './package-guest.mjs';
import { writeDeb } from './release/deb.mjs';
import { ARCHITECTURES } from './release/stage.mjs';
import { main, ROOT, SetupError, say } from './run.mjs';
import { setUp } from './setup.mjs';
import { runInWorld } from './world.mjs';

await main(async () => {
  const archs = architecturesOf(process.argv.slice(2));
  await setUp(['vm-package', 'release']);
  const outDir = `${ROOT}dist/vm-package`;
  mkdirSync(outDir, { recursive: true });
  const { version } = JSON.parse(readFileSync(`${ROOT}package.json`, 'utf8'));
  const trials = [];
  for (const arch of archs) {
    say(`building the package for ${arch}`);
    const { path } = await writeDeb({ arch, version, outDir });
    trials.push({ ...(await makePackageGuest(arch)), data: path });
  }
  return await runInWorld(`${ROOT}dist/bench/package/index.js`, [], { WEFT_TRIALS: JSON.stringify(trials) });
});

/** Returns the architectures of the command line. @throws SetupError */
function architecturesOf(args) {
  let text = Object.keys(ARCHITECTURES).reverse().join(',');
  try {
    text = parseArgs({ args, options: { arch: { type: 'string', default: text } } }).values.arch;
  } catch (error) {
    throw new SetupError(
      `vm:package: ${error.message.split('\n')[0]}; use: npm run vm:package -- --arch ${text}`,
    );
  }
  const unknown = text.split(',').find((arch) => !(arch in ARCHITECTURES));
  if (unknown === undefined) return text.split(',');
  throw new SetupError(
    `vm:package: --arch: '${unknown}' is unknown; choose from ${Object.keys(ARCHITECTURES).join(', ')}`,
  );
}
