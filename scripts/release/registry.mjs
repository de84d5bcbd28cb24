// Packages of npm's registry that a release contains, but this machine does not install: Node itself, and the binaries of
// other architectures. Each has a SHA-512 hash in this folder or in package-lock.json.

import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { ROOT, run, SetupError, say } from '../run.mjs';

const CACHE = `${ROOT}node_modules/.cache/release`;

/**
 * Downloads a package unless it is there, checks it, and returns the folder with its files.
 * @param {{ name: string, version: string, integrity: string }} wanted
 * @returns {Promise<string>}
 */
export async function packageFolder({ name, version, integrity }) {
  const folder = join(CACHE, `${name.replace('/', '+')}-${version}`);
  const archive = `${folder}.tgz`;
  if (!existsSync(archive) || integrityOf(archive) !== integrity) await download(name, version, archive);
  const found = integrityOf(archive);
  if (found !== integrity)
    throw new SetupError(
      `${name}@${version} has the hash ${found}, and ${integrity} is expected: do not use it`,
    );
  // Unpacked anew each time: only the archive is checked.
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  await run(['tar', '-xzf', archive, '-C', folder, '--strip-components=1', '--no-same-owner']);
  return folder;
}

async function download(name, version, archive) {
  say(`downloading ${name} ${version}`);
  const work = `${archive}.work`;
  rmSync(work, { recursive: true, force: true });
  mkdirSync(work, { recursive: true });
  const npm = process.env.npm_execpath === undefined ? ['npm'] : [process.execPath, process.env.npm_execpath];
  await run([
    ...npm,
    'pack',
    '--silent',
    '--ignore-scripts',
    '--pack-destination',
    work,
    `${name}@${version}`,
  ]);
  renameSync(join(work, readdirSync(work)[0]), archive);
  rmSync(work, { recursive: true });
}

function integrityOf(file) {
  return `sha512-${createHash('sha512').update(readFileSync(file)).digest('base64')}`;
}
