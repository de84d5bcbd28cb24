// The image that the tests run: an archive, and its files as the Dockerfile's command writes them. Both are made anew when Weft
// or a list has changed; Debian's packages and Node stay in node_modules/.cache.

import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { ROOT, run, say } from './run.mjs';

const FOLDER = `${ROOT}node_modules/.cache/image/test`;
/** Debian's name of this machine's architecture; undefined where there is no image for it. */
export const ARCHITECTURE = { x64: 'amd64', arm64: 'arm64' }[process.arch];

/**
 * Makes the image of this machine's architecture. Returns variables for the tests: the folder of its files and its archive.
 * It returns none where there is no image. The project is built.
 */
export async function imageForTests() {
  if (ARCHITECTURE === undefined) return {};
  const [root, archive, stamp] = ['root', 'archive', 'stamp'].map((name) => `${FOLDER}/${name}`);
  const digest = digestOfInputs();
  if (!existsSync(stamp) || readFileSync(stamp, 'utf8') !== digest) {
    say('making the image for the tests');
    rmSync(FOLDER, { recursive: true, force: true });
    mkdirSync(root, { recursive: true });
    await run([process.execPath, 'scripts/release/image-tree.mjs', ARCHITECTURE, root]);
    const { writeImage } = await import('./release/oci.mjs');
    const { version } = JSON.parse(readFileSync(`${ROOT}package.json`, 'utf8'));
    await writeImage({ arch: ARCHITECTURE, version, outDir: archive, fresh: false, level: 1 });
    writeFileSync(stamp, digest);
  }
  return { WEFT_IMAGE_ROOT: root, WEFT_IMAGE_ARCHIVE: `${archive}/${readdirSync(archive)[0]}` };
}

/**
 * Unpacks an archive of the image with umoci, as a container runtime imports it. Returns variables for the tests, which then
 * make no image of their own.
 */
export async function unpackArchive({ archive, version, folder }) {
  await run(['mkdir', `${folder}/oci`]);
  await run(['tar', '-xf', archive, '-C', `${folder}/oci`]);
  await run(['umoci', 'unpack', '--image', `${folder}/oci:${version}`, `${folder}/bundle`]);
  return { WEFT_IMAGE_ROOT: `${folder}/bundle/rootfs`, WEFT_IMAGE_ARCHIVE: archive };
}

function digestOfInputs() {
  const hash = createHash('sha256');
  const scripts = readdirSync(`${ROOT}scripts/release`).map((name) => `scripts/release/${name}`);
  for (const path of ['dist/.built-from', 'package.json', 'deploy/image/files.txt', ...scripts.sort()])
    hash.update(readFileSync(`${ROOT}${path}`));
  return hash.digest('hex');
}
