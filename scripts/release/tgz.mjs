// The package for `npm install -g`: the build, deploy/ and docs/, with the exact versions and hashes of its dependencies.

import { chmodSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { ROOT, run } from '../run.mjs';
import { dateAll, sourceDate } from './source-date.mjs';
import { builtFiles, copy, filesUnder, write } from './stage.mjs';

/** What the package has beside the build. deploy/debian is for the Debian package only. */
const FOLDERS = ['deploy', 'docs'];
const FILES = ['README.md', 'CHANGELOG.md', 'LICENSE'];

/**
 * Writes weft-<version>.tgz; the project is built.
 * @param {{ version: string, outDir: string }} options
 * @returns {Promise<string>} the path
 */
export async function writeTgz({ version, outDir }) {
  const tree = join(outDir, 'work', 'tgz');
  rmSync(tree, { recursive: true, force: true });
  const more = FOLDERS.flatMap((folder) => filesUnder(`${ROOT}${folder}`).map((path) => `${folder}/${path}`));
  for (const path of [...builtFiles(), ...more, ...FILES])
    if (!path.startsWith('deploy/debian/')) copy(`${ROOT}${path}`, join(tree, path));
  for (const path of ['dist/src/cli/weft.js', 'deploy/cni/install-conflist'])
    chmodSync(join(tree, path), 0o755);
  const { devDependencies, scripts, allowScripts, ...manifest } = JSON.parse(
    readFileSync(`${ROOT}package.json`, 'utf8'),
  );
  // npm leaves the file with the hashes out unless it is named.
  manifest.files = ['dist', 'deploy', 'docs', 'CHANGELOG.md', 'npm-shrinkwrap.json'];
  write(join(tree, 'package.json'), `${JSON.stringify(manifest, null, 2)}\n`);
  write(join(tree, 'npm-shrinkwrap.json'), `${JSON.stringify(shrinkwrap(), null, 2)}\n`);
  dateAll(tree, await sourceDate());
  const npm = process.env.npm_execpath === undefined ? ['npm'] : [process.execPath, process.env.npm_execpath];
  await run([...npm, 'pack', '--silent', '--ignore-scripts', '--pack-destination', outDir, tree]);
  rmSync(tree, { recursive: true });
  return join(outDir, `weft-${version}.tgz`);
}

/** Returns package-lock.json without the packages of the development. */
function shrinkwrap() {
  const lock = JSON.parse(readFileSync(`${ROOT}package-lock.json`, 'utf8'));
  const { devDependencies, ...root } = lock.packages[''];
  const runtime = Object.entries(lock.packages).filter(([path, { dev }]) => path !== '' && !dev);
  return { ...lock, packages: { '': root, ...Object.fromEntries(runtime) } };
}
