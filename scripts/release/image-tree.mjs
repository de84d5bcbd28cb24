// The file tree of the image, in the order of its layers: what changes seldom comes first.
//
//     Debian    commands, plugins and libraries of deploy/image/files.txt, licences, the list of packages for scanners
//     Node      /usr/lib/weft/bin
//     Weft      the rest of /usr/lib/weft, /usr/bin/weft, and /opt/bin/flanneld for flannel's manifests
//
// Nothing of the tree runs while it is made, so any machine can make it for any architecture.
//
// Use: node scripts/release/image-tree.mjs <architecture> <folder>    writes the tree into a folder, as the Dockerfile does

import {
  chmodSync,
  cpSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { main, ROOT, SetupError } from '../run.mjs';
import { setUp } from '../setup.mjs';
import { debianPackages } from './debian.mjs';
import { debianTree, readList } from './debian-tree.mjs';
import { ARCHITECTURES, stageApp } from './stage.mjs';
import { contentOf, Tree } from './tar.mjs';

const NODE = '/usr/lib/weft/bin/';

/** flannel's manifests run this path; a manifest of flannel starts Weft after changing only the image. */
const FLANNELD = `#!/usr/lib/weft/bin/node
process.argv.splice(2, 0, 'run');
import('/usr/lib/weft/dist/src/cli/weft.js');
`;

/**
 * Returns the layers of the image and the Debian packages that they are made of. Files stay where they are until they are
 * written: below node_modules/.cache/image.
 * @param {{ arch: string, fresh?: boolean }} options fresh: ask for newer Debian packages
 */
export async function imageTree({ arch, fresh = true }) {
  if (!(arch in ARCHITECTURES))
    throw new SetupError(
      `no image for architecture '${arch}': choose one of ${Object.keys(ARCHITECTURES).join(', ')}`,
    );
  const list = readList();
  const packages = await debianPackages([...list.keys()], arch, { fresh });
  const staged = `${ROOT}node_modules/.cache/image/${arch}/app`;
  rmSync(staged, { recursive: true, force: true });
  await stageApp({ arch, into: staged });
  const app = treeOf(staged);
  app.file('/opt/bin/flanneld', { data: FLANNELD }, 0o755);
  const isBinary = ([path, { type }]) =>
    type === 'file' && (path === `${NODE}node` || path.endsWith('.node'));
  const programs = [...app.entries].filter(isBinary).map(([, entry]) => contentOf(entry));
  const layers = {
    debian: debianTree(packages, list, arch, programs),
    node: part(app, (path) => path.startsWith(NODE)),
    weft: part(app, (path) => !path.startsWith(NODE)),
  };
  return { layers, packages };
}

/** Returns a folder as a tree. */
function treeOf(folder) {
  const tree = new Tree();
  for (const name of readdirSync(folder, { recursive: true })) {
    const from = join(folder, name);
    const stat = lstatSync(from);
    if (stat.isFile()) tree.file(`/${name}`, { from }, stat.mode & 0o777);
  }
  return tree;
}

/** Returns the files whose paths pass, with their folders. */
function part(tree, passes) {
  const found = new Tree();
  for (const [path, { type, mode, ...content }] of tree.entries)
    if (type === 'file' && passes(path)) found.file(path, content, mode);
  return found;
}

/** Writes layers into a folder. */
function writeTree(layers, folder) {
  for (const [path, entry] of layers.flatMap((layer) => layer.sorted())) {
    const to = join(folder, path);
    mkdirSync(dirname(to), { recursive: true });
    if (entry.type === 'directory') mkdirSync(to, { recursive: true });
    else if (entry.type === 'symlink') symlinkSync(entry.target, to);
    else if (entry.from !== undefined) cpSync(entry.from, to);
    else writeFileSync(to, entry.data);
    if (entry.type !== 'symlink') chmodSync(to, entry.mode);
  }
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  await main(async () => {
    const [arch, folder] = process.argv.slice(2);
    if (folder === undefined)
      throw new SetupError('use: node scripts/release/image-tree.mjs <architecture> <folder>');
    await setUp(['image'], { network: false });
    const { layers } = await imageTree({ arch });
    writeTree(Object.values(layers), folder);
  });
}
