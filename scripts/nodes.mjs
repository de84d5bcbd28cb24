// `npm run test:nodes`: the unit tests on the oldest Node that Weft supports, and on the newest of every later line.
//
// npm carries Node's binaries; each is installed once, under node_modules/.cache/nodes.
//
// Use: npm run test:nodes                        the unit tests
//      npm run test:nodes -- test/unit/sys       what `npm test` takes

import { existsSync } from 'node:fs';
import { main, ROOT, run, SetupError, say } from './run.mjs';

const VERSIONS = ['20.12.0', '20', '22', '24'];
const BINARIES = `node-linux-${process.arch}`;

await main(async () => {
  const args = process.argv.slice(2);
  const failed = [];
  for (const version of VERSIONS) {
    const node = await binaryOf(version);
    const exact = (await run([node, '--version'])).trim();
    say(`testing on Node ${exact}`);
    try {
      await run([node, 'scripts/test.mjs', ...(args.length > 0 ? args : ['test/unit'])], { show: true });
    } catch (error) {
      if (!(error instanceof SetupError)) throw error;
      failed.push(exact);
    }
  }
  if (failed.length > 0) throw new SetupError(`the tests fail on Node ${failed.join(', ')}`);
  say('the tests pass on every version');
});

/** Returns the path of a version's binary, installing it if it is missing. */
async function binaryOf(version) {
  const folder = `${ROOT}node_modules/.cache/nodes/${version}`;
  const binary = `${folder}/node_modules/${BINARIES}/bin/node`;
  if (existsSync(binary)) return binary;
  say(`installing Node ${version}`);
  const npm = process.env.npm_execpath === undefined ? ['npm'] : [process.execPath, process.env.npm_execpath];
  const flags = ['--ignore-scripts', '--no-audit', '--no-fund', '--no-package-lock'];
  await run([...npm, 'install', '--prefix', folder, ...flags, `${BINARIES}@${version}`]);
  return binary;
}
