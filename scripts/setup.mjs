// The set-up for demo, tests and benchmarks: dependencies, build, system packages. It never prompts and does only what
// is missing, so a second run prints nothing and needs no network.
//
// Use: node scripts/setup.mjs [demo|test|bench|ovs|vm|vm-package|release …]

import { existsSync, readFileSync } from 'node:fs';
import { pathToFileURL } from 'node:url';
import { buildIfChanged } from './build.mjs';
import { main, ROOT, run, SetupError, say } from './run.mjs';
import { checkMachine, checkNamespaces, installMissing } from './system.mjs';

/**
 * Sets the project up.
 * @param {('demo' | 'test' | 'bench' | 'ovs' | 'vm' | 'vm-package' | 'release')[]} tasks the tasks whose system packages are installed
 * @param {{ network?: boolean }} [options] network: false for tasks without root, /dev/net/tun and packages
 */
export async function setUp(tasks, { network = true } = {}) {
  checkMachine({ network });
  if (network) {
    await installMissing(tasks);
    await checkNamespaces();
  }
  await installDependencies();
  await buildIfChanged();
}

async function installDependencies() {
  if (dependenciesMatch()) return;
  say('installing dependencies (npm ci)');
  const npm = process.env.npm_execpath === undefined ? ['npm'] : [process.execPath, process.env.npm_execpath];
  await run([...npm, 'ci', '--ignore-scripts', '--no-audit', '--no-fund']);
  if (!dependenciesMatch())
    throw new SetupError('npm ci succeeded, but node_modules differs from package-lock.json');
}

/**
 * Returns true if node_modules has what package-lock.json lists. npm itself keeps the record, and writes it last:
 * node_modules/.package-lock.json. Optional packages (other platforms' binaries) may be absent.
 */
function dependenciesMatch() {
  const installed = packagesOf('node_modules/.package-lock.json');
  const wanted = packagesOf('package-lock.json');
  if (installed === undefined || wanted === undefined) return false;
  return Object.entries(wanted).every(([path, entry]) => {
    const found = installed[path];
    if (path === '') return true;
    if (found === undefined) return entry.optional === true;
    return found.version === entry.version && found.integrity === entry.integrity;
  });
}

function packagesOf(path) {
  if (!existsSync(`${ROOT}${path}`)) return undefined;
  try {
    return JSON.parse(readFileSync(`${ROOT}${path}`, 'utf8')).packages;
  } catch {
    return undefined;
  }
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  await main(async () => {
    const tasks = process.argv.slice(2);
    await setUp(tasks.length === 0 ? ['demo', 'test'] : tasks);
    say('everything is installed');
  });
}
