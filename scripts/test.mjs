// `npm test`: set-up, lint, then every compiled test with tap, all of it in a private world (the netns tests need one).
//
// WEFT_SKIP_NETNS=1 leaves the netns tests out, for machines without root; nothing else skips them.
// Arguments are handed to tap: npm test -- dist/test/unit/vxlan.test.js

import { existsSync, readdirSync, readFileSync, realpathSync } from 'node:fs';
import { main, ROOT, run, SetupError, say } from './run.mjs';
import { setUp } from './setup.mjs';
import { runInWorld } from './world.mjs';

const TAP_FLAGS = ['--disable-coverage', '--jobs=1', '--timeout=120'];

await main(async () => {
  const skipNetns = process.env.WEFT_SKIP_NETNS === '1';
  if (!skipNetns && process.getuid?.() !== 0) {
    throw new SetupError(
      'the netns tests need root: run it with sudo, or leave them out with WEFT_SKIP_NETNS=1',
    );
  }
  await setUp(['test'], { network: !skipNetns });
  say('lint');
  // Biome colours what it prints in CI, also where nothing but a log file reads it.
  const colours = process.stdout.isTTY ? [] : ['--colors=off'];
  const biome = [process.execPath, 'node_modules/@biomejs/biome/bin/biome'];
  await run([...biome, 'ci', '--error-on-warnings', ...colours, '.'], { show: true });
  const asked = process.argv.slice(2);
  const files = asked.some((arg) => !arg.startsWith('-')) ? [] : testFiles(skipNetns);
  const tap = realpathSync(`${ROOT}node_modules/.bin/tap`);
  await applyPlugins(tap);
  if (!skipNetns) return await runInWorld(tap, [...TAP_FLAGS, ...asked, ...files]);
  say('the netns tests are left out (WEFT_SKIP_NETNS=1)');
  await run([process.execPath, tap, ...TAP_FLAGS, ...asked, ...files], { show: true });
});

/** tap compiles its plugin list into node_modules: after npm ci it still has the default one, not .taprc's. */
async function applyPlugins(tap) {
  const built = readFileSync(`${ROOT}node_modules/@tapjs/test/test-built/dist/esm/index.js`, 'utf8');
  if (!built.includes('@tapjs/typescript')) return;
  say('preparing tap');
  await run([process.execPath, tap, 'build']);
}

function testFiles(skipNetns) {
  if (!existsSync(`${ROOT}dist/test`)) throw new SetupError('there are no tests in dist/test');
  return readdirSync(`${ROOT}dist/test`, { recursive: true })
    .filter((name) => name.endsWith('.test.js') && !(skipNetns && name.startsWith('netns/')))
    .sort()
    .map((name) => `dist/test/${name}`);
}
