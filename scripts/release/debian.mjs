// Downloads Debian packages of any architecture and unpacks them; nothing of them runs.

import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { privateApt } from '../apt.mjs';
import { ROOT, run, say } from '../run.mjs';

/** The release of Debian whose packages are in the image. */
const RELEASE = 'bookworm';
export const DEBIAN = '12';
const SUITES = [RELEASE, `${RELEASE}-updates`, `${RELEASE}-security`];
const CACHE = `${ROOT}node_modules/.cache/image`;

/**
 * A downloaded package. `sha256` is the hash of its archive, and `control` its paragraph of control data. `root` is the folder
 * with its files.
 * @typedef {{ name: string, version: string, arch: string, sha256: string, control: string, root: string }} DebianPackage
 */

/**
 * Returns packages with their files, in the order of the names. `fresh` asks the mirror for newer versions; otherwise what an
 * earlier call left in node_modules/.cache is used if it has all packages.
 * @param {readonly string[]} names
 * @param {string} arch amd64 or arm64
 * @returns {Promise<DebianPackage[]>}
 */
export async function debianPackages(names, arch, { fresh = true } = {}) {
  const folder = `${CACHE}/${arch}`;
  const archives = `${folder}/archives`;
  const stamp = `${folder}/packages`;
  const wanted = names.join('\n');
  if (fresh || !existsSync(stamp) || readFileSync(stamp, 'utf8') !== wanted) {
    rmSync(stamp, { force: true });
    await download(names, arch, folder, archives);
    writeFileSync(stamp, wanted);
  }
  const files = readdirSync(archives);
  return await Promise.all(
    names.map(async (name) => {
      const archive = `${archives}/${files.find((file) => file.startsWith(`${name}_`))}`;
      const root = `${folder}/root/${name}`;
      const control = await run(['dpkg-deb', '--field', archive]);
      const field = (key) => new RegExp(`^${key}: (.+)$`, 'm').exec(control)[1];
      const sha256 = createHash('sha256').update(readFileSync(archive)).digest('hex');
      return { name, version: field('Version'), arch: field('Architecture'), sha256, control, root };
    }),
  );
}

async function download(names, arch, folder, archives) {
  say(`downloading ${names.length} packages of Debian ${RELEASE} for ${arch}`);
  for (const old of [archives, `${folder}/root`]) rmSync(old, { recursive: true, force: true });
  mkdirSync(archives, { recursive: true });
  const apt = privateApt({ suites: SUITES, arch, into: folder });
  await apt('apt-get', 'update', '-qq');
  // apt downloads into the working directory.
  await apt('sh', '-c', 'cd "$1" && shift && exec apt-get download -qq "$@"', 'sh', archives, ...names);
  for (const file of readdirSync(archives)) {
    const root = `${folder}/root/${file.slice(0, file.indexOf('_'))}`;
    mkdirSync(root, { recursive: true });
    await run(['dpkg-deb', '-x', `${archives}/${file}`, root]);
  }
}
