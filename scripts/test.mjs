// `npm test`: set-up, lint, then the compiled tests with tap. The last line it prints is `N passed, N failed`.
//
// Unit and property tests run side by side as the user who starts them. The netns tests need root: they run in a
// private world, those of test/netns/parallel two at a time, the others one after the other. WEFT_SKIP_NETNS=1 leaves
// them out.
//
// Use: npm test                         everything
//      npm test -- test/unit/fdb        files whose path has these parts in this order; no lint
//      npm test -- drops --bail         arguments that begin with a dash go to tap

import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, realpathSync, rmSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { isEnding, onEnd } from './ending.mjs';
import { imageForTests } from './image.mjs';
import { has, main, ROOT, run, SetupError, say } from './run.mjs';
import { setUp } from './setup.mjs';
import { runInWorld } from './world.mjs';

const UNIT_TIMEOUT_S = 120;
/** A netns file builds new nodes for many of its tests. */
const NETNS_TIMEOUT_S = 600;
/** Netns tests that disturb no other: they leave the machine idle most of the time and promise no time. */
const PARALLEL = 'test/netns/parallel/';
/** Run the image. */
const IMAGE = ['test/netns/image.test.ts', 'test/netns/overlays.test.ts'];

await main(async () => {
  process.chdir(ROOT);
  const args = process.argv.slice(2);
  const filters = args.filter((arg) => !arg.startsWith('-'));
  const flags = args.filter((arg) => arg.startsWith('-'));
  const files = testFiles(filters);
  const netns = files.filter((file) => file.startsWith('test/netns/'));
  const others = files.filter((file) => !netns.includes(file));
  const skipNetns = process.env.WEFT_SKIP_NETNS === '1';
  const needsRoot = netns.length > 0 && !skipNetns;
  const needsImage = needsRoot && IMAGE.some((file) => netns.includes(file));
  if (needsRoot && process.getuid?.() !== 0) {
    throw new SetupError(
      'the netns tests need root: run `npm test` with sudo, or leave them out with WEFT_SKIP_NETNS=1',
    );
  }
  await setUp([...(needsRoot ? ['test'] : []), ...(needsImage ? ['image', 'image-test'] : [])], {
    network: needsRoot,
  });

  await applyPlugins();

  const total = { passed: 0, failed: 0, skipped: 0 };
  if (filters.length === 0) await lint(total);
  const scratch = mkdtempSync(join(tmpdir(), 'weft-test-'));
  process.on('exit', () => rmSync(scratch, { recursive: true, force: true }));
  if (others.length > 0) {
    // Some tests wait for pauses of retries.
    const options = [`--timeout=${UNIT_TIMEOUT_S}`, `--jobs=${availableParallelism() + 1}`];
    await runTap(total, scratch, others, [...options, ...flags], runAlone);
  }
  if (needsRoot) {
    // The world has no network to download with.
    if (needsImage && process.env.WEFT_IMAGE_ROOT === undefined)
      Object.assign(process.env, await imageForTests());
    for (const [jobs, group] of [
      [2, netns.filter((file) => file.startsWith(PARALLEL))],
      [1, netns.filter((file) => !file.startsWith(PARALLEL))],
    ]) {
      const options = [`--timeout=${NETNS_TIMEOUT_S}`, `--jobs=${jobs}`, ...flags];
      if (group.length > 0) await runTap(total, scratch, group, options, runInWorld);
    }
  } else if (netns.length > 0) {
    say(`WEFT_SKIP_NETNS=1 leaves out ${netns.length} files of netns tests`);
  }
  if (total.skipped > 0) console.log(`${total.skipped} skipped`);
  console.log(`${total.passed} passed, ${total.failed} failed`);
  return total.failed === 0 && total.passed > 0 ? 0 : 1;
});

/** Rebuilds tap with the plugins of .taprc: after npm ci node_modules holds tap with its default plugins. */
async function applyPlugins() {
  const built = readFileSync('node_modules/@tapjs/test/test-built/dist/esm/index.js', 'utf8');
  if (!built.includes('@tapjs/typescript') && !built.includes('@tapjs/mock')) return;
  say('preparing tap');
  await run([process.execPath, realpathSync('node_modules/.bin/tap'), 'build']);
}

/** Returns the test files that pass the filters. */
function testFiles(filters) {
  // A filter may name the source or the compiled file, with or without its ending.
  const parts = filters.map((filter) =>
    filter
      .replace(/^(\.?\/)?(dist\/)?/, '')
      .replace(/(\.test)?\.[jt]s$/, '')
      .split('/'),
  );
  const files = readdirSync('test', { recursive: true })
    .filter((name) => name.endsWith('.test.ts'))
    .map((name) => `test/${name}`)
    .filter((file) => parts.length === 0 || parts.some((part) => hasInOrder(file, part)))
    .sort();
  if (files.length === 0) throw new SetupError(`no test file matches ${filters.join(', ')}`);
  return files;
}

function hasInOrder(text, parts) {
  let at = 0;
  return parts.every((part) => {
    const found = text.indexOf(part, at);
    at = found + part.length;
    return found >= 0;
  });
}

async function lint(total) {
  try {
    const biome = [process.execPath, 'node_modules/@biomejs/biome/bin/biome'];
    const flags = ['--error-on-warnings', ...(process.stdout.isTTY ? [] : ['--colors=off'])];
    await run([...biome, 'ci', ...flags, '.'], { show: true });
  } catch (error) {
    if (!(error instanceof SetupError)) throw error;
    total.failed++;
  }
}

/** Runs test files with tap and adds the totals of its report. */
async function runTap(total, scratch, sources, flags, start) {
  const totals = join(scratch, 'totals.json');
  rmSync(totals, { force: true });
  const files = sources.map((file) => `dist/${file.replace(/ts$/, 'js')}`);
  const argv = ['--disable-coverage', '--reporter=./dist/test/support/report.js', ...flags, ...files];
  // The files of a killed test are removed with the scratch directory; the world has a TMPDIR of its own.
  const env = { TMPDIR: scratch, WEFT_TEST_TOTALS: totals };
  const code = await start(realpathSync('node_modules/.bin/tap'), argv, env);
  // Without totals tap itself has failed.
  const { passed, failed, skipped } = existsSync(totals)
    ? JSON.parse(readFileSync(totals, 'utf8'))
    : { passed: 0, failed: 1, skipped: 0 };
  total.passed += passed;
  total.failed += failed === 0 && code !== 0 ? 1 : failed;
  total.skipped += skipped;
}

/** Runs a node script in a process group of its own, which is killed as a whole when this process is interrupted. */
async function runAlone(script, argv, env) {
  const guard = has('setpriv') ? ['setpriv', '--pdeathsig', 'KILL'] : [];
  const [file, ...rest] = [...guard, process.execPath, script, ...argv];
  const child = spawn(file, rest, {
    detached: true,
    stdio: ['ignore', 'inherit', 'inherit'],
    env: { ...process.env, ...env },
  });
  const ended = new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('exit', (code) => resolve(code ?? 1));
  });
  const release = onEnd(async () => {
    if (child.exitCode === null && child.signalCode === null) process.kill(-child.pid, 'SIGKILL');
    await ended.catch(() => undefined);
  });
  const code = await ended;
  if (isEnding()) await new Promise(() => undefined);
  release();
  return code;
}
