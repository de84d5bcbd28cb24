// The layer of the image with Debian's files: those that deploy/image/files.txt names, and the libraries that programs need.

import { lstatSync, readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { join, posix } from 'node:path';
import { ROOT, SetupError } from '../run.mjs';
import { isElf, readElf } from './elf.mjs';
import { ARCHITECTURES } from './stage.mjs';
import { contentOf, Tree } from './tar.mjs';

export const LIST = 'deploy/image/files.txt';

/** Folders of / that are links to those of /usr, as in a Debian system; its packages still have files in both. */
const MERGED = ['bin', 'sbin', 'lib', 'lib64'];

/** Files that no package has. The name service asks no plugin of glibc: files and DNS are in libc itself. */
const OWN_FILES = {
  '/etc/passwd':
    'root:x:0:0:root:/root:/sbin/nologin\nnobody:x:65534:65534:nobody:/nonexistent:/sbin/nologin\n',
  '/etc/group': 'root:x:0:\nnogroup:x:65534:\n',
  '/etc/nsswitch.conf': 'passwd: files\ngroup: files\nhosts: files dns\nprotocols: files\nservices: files\n',
};
/** Mount points of a container. */
const FOLDERS = ['/dev', '/etc/kube-flannel', '/proc', '/root', '/run', '/sys', '/var/lib'];

/** Reads the list: the globs of each package, by its name. */
export function readList(text = readFileSync(`${ROOT}${LIST}`, 'utf8')) {
  const lines = text.split('\n').map((line) => line.replace(/#.*/, '').trim());
  return new Map(
    lines.filter(Boolean).map((line) => {
      const [name, ...globs] = line.split(/\s+/);
      return [name, globs];
    }),
  );
}

/**
 * Returns the layer. `programs` are the other ELF files of the image, whose libraries it gets as well.
 * @param {readonly import('./debian.mjs').DebianPackage[]} packages
 * @param {ReturnType<typeof readList>} list
 * @param {string} arch
 * @param {readonly Buffer[]} programs
 */
export function debianTree(packages, list, arch, programs) {
  const lib = `/usr/lib/${ARCHITECTURES[arch].gnu}`;
  const files = new Map(packages.flatMap((from) => filesOf(from).map((file) => [file.path, file])));
  const tree = new Tree();
  for (const path of FOLDERS) tree.directory(path);
  tree.directory('/tmp', 0o1777);
  const add = (path) => addFile(tree, files, path);
  for (const { name } of packages) {
    for (const glob of list.get(name)) {
      const pattern = patternOf(glob.replace('<lib>', lib));
      const found = [...files.values()].filter((file) => file.package === name && pattern.test(file.path));
      if (found.length === 0) throw new SetupError(`${LIST}: package ${name} has no file ${glob}`);
      for (const { path } of found) add(path);
    }
  }
  addLibraries(tree, files, lib, arch, programs);
  refuseUnused(packages, files, tree);
  for (const { name } of packages) addLicence(tree, files, name);
  addDefaults(tree);
  for (const name of MERGED) if (tree.entries.has(`/usr/${name}`)) tree.symlink(`/${name}`, `usr/${name}`);
  for (const [path, data] of Object.entries(OWN_FILES)) tree.file(path, { data });
  // Where scanners look for the packages of an image without dpkg.
  for (const { name, control } of packages) tree.file(`/var/lib/dpkg/status.d/${name}`, { data: control });
  return tree;
}

/** Returns the files of a package, by the paths that they have in the image. */
function filesOf({ name, root }) {
  return readdirSync(root, { recursive: true })
    .map((path) => ({ path, from: join(root, path), stat: lstatSync(join(root, path)) }))
    .filter(({ stat }) => !stat.isDirectory())
    .map(({ path, from, stat }) => ({
      package: name,
      path: merged(`/${path}`),
      from,
      mode: stat.mode & 0o777,
      target: stat.isSymbolicLink() ? readlinkSync(from) : undefined,
    }));
}

function merged(path) {
  return MERGED.includes(path.split('/')[1]) ? `/usr${path}` : path;
}

function patternOf(glob) {
  return new RegExp(`^${glob.replace(/[.+]/g, '\\$&').replaceAll('*', '[^/]*')}$`);
}

/** Adds a file, and what its links point to. Returns the path that is no link. */
function addFile(tree, files, path) {
  const file = files.get(path);
  if (file === undefined) throw new SetupError(`no package of ${LIST} has the file ${path}`);
  if (file.target === undefined) {
    tree.file(path, { from: file.from }, file.mode);
    return path;
  }
  tree.symlink(path, file.target);
  return addFile(tree, files, merged(posix.resolve(posix.dirname(path), file.target)));
}

/** Adds the libraries that the programs and plugins need, and those that these libraries need. */
function addLibraries(tree, files, lib, arch, programs) {
  const inTree = [...tree.entries].filter(([, { type }]) => type === 'file');
  const queue = [
    ...inTree.map(([path, entry]) => ({ of: path, data: contentOf(entry) })),
    ...programs.map((data) => ({ of: 'Weft', data })),
  ].filter(({ data }) => isElf(data));
  for (let next = queue.pop(); next !== undefined; next = queue.pop()) {
    const elf = readElf(next.data);
    if (elf.arch !== arch)
      throw new SetupError(`${next.of} is for ${elf.arch}, and the image is for ${arch}`);
    const needed = elf.needed.map((name) => `${lib}/${name}`);
    if (elf.interpreter !== undefined) needed.push(merged(elf.interpreter));
    for (const path of needed.filter((library) => !tree.entries.has(library))) {
      if (!files.has(path))
        throw new SetupError(`${next.of} needs ${path}, and no package of ${LIST} has it: add the package`);
      const real = addFile(tree, files, path);
      queue.push({ of: real, data: contentOf(tree.entries.get(real)) });
    }
  }
}

/** Keeps the list as short as it can be: scanners report every package of it. */
function refuseUnused(packages, files, tree) {
  const used = new Set([...tree.entries.keys()].map((path) => files.get(path)?.package));
  const unused = packages.filter(({ name }) => !used.has(name)).map(({ name }) => name);
  if (unused.length > 0)
    throw new SetupError(`${LIST}: the image takes no file of ${unused.join(', ')}: remove the line`);
}

/** Adds the licence of a package. Packages of one source may share a folder by a link. */
function addLicence(tree, files, name) {
  const folder = `/usr/share/doc/${name}`;
  const link = files.get(folder);
  if (link === undefined) addFile(tree, files, `${folder}/copyright`);
  else {
    tree.symlink(folder, link.target);
    addFile(tree, files, `${posix.resolve(posix.dirname(folder), link.target)}/copyright`);
  }
}

/**
 * Adds the commands that Debian's alternatives make: `iptables` for `iptables-nft`. Weft itself uses `iptables-legacy` where
 * kubelet's chains are there (src/control/firewall/locations.ts).
 */
function addDefaults(tree) {
  for (const path of tree.entries.keys()) {
    const [, command, suffix] = /^\/usr\/sbin\/(ip6?tables)-nft(-.+)?$/.exec(path) ?? [];
    if (command !== undefined) tree.symlink(`/usr/sbin/${command}${suffix ?? ''}`, posix.basename(path));
  }
}
