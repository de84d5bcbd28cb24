// Writes file trees as tar archives with the same bytes for the same tree: sorted entries, one time, owner root.

import { createHash } from 'node:crypto';
import { createReadStream, createWriteStream, readFileSync, renameSync, statSync } from 'node:fs';
import { pipeline } from 'node:stream/promises';
import { createGzip } from 'node:zlib';
import { pack } from 'tar-stream';

/**
 * A file, folder or link of an image. A file's content is `data`, or that of the file `from` on this machine.
 * @typedef {{ type: 'file' | 'directory' | 'symlink', mode?: number, data?: Buffer | string, from?: string, target?: string }} Entry
 */

/** A file tree: entries by their paths, which begin with a slash. */
export class Tree {
  /** @type {Map<string, Entry>} */
  entries = new Map();

  /** Adds a file or replaces it, and adds its folders. */
  file(path, content, mode = 0o644) {
    this.#add(path, { type: 'file', mode, ...content });
  }

  symlink(path, target) {
    this.#add(path, { type: 'symlink', mode: 0o777, target });
  }

  directory(path, mode = 0o755) {
    if (path === '' || path === '/') return;
    const entry = this.entries.get(path);
    if (entry?.type === 'symlink') throw new Error(`${path} is a link, so nothing can be put below it`);
    if (entry === undefined) this.#add(path, { type: 'directory', mode });
  }

  /** Returns the entries in the order of an archive: sorted by the bytes of the paths, so folders come first. */
  sorted() {
    return [...this.entries].sort(([a], [b]) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
  }

  #add(path, entry) {
    this.directory(path.slice(0, path.lastIndexOf('/')));
    this.entries.set(path, entry);
  }
}

/** Returns the content of a file entry. */
export function contentOf({ data, from }) {
  return from === undefined ? Buffer.from(data) : readFileSync(from);
}

/**
 * Writes a tree as a compressed layer. Returns its size, and the digests of the compressed and of the plain archive.
 * @param {Tree} tree
 * @param {string} path
 * @param {Date} time of every entry
 * @param {number} level of the compression, 1 to 9
 */
export async function writeLayer(tree, path, time, level) {
  const plain = createHash('sha256');
  const archive = pack();
  archive.on('data', (chunk) => plain.update(chunk));
  const written = pipeline(archive, createGzip({ level }), createWriteStream(`${path}.new`));
  await Promise.all([addAll(archive, tree, time), written]);
  renameSync(`${path}.new`, path);
  return { digest: await digestOf(path), size: statSync(path).size, diffId: `sha256:${plain.digest('hex')}` };
}

/** Writes a tree as a plain archive. */
export async function writeArchive(tree, path, time) {
  const archive = pack();
  await Promise.all([addAll(archive, tree, time), pipeline(archive, createWriteStream(`${path}.new`))]);
  renameSync(`${path}.new`, path);
}

async function addAll(archive, tree, time) {
  for (const [path, entry] of tree.sorted()) {
    const header = { name: path.slice(1), type: entry.type, mode: entry.mode, mtime: time, uid: 0, gid: 0 };
    if (entry.type === 'symlink') header.linkname = entry.target;
    await addEntry(archive, header, entry);
  }
  archive.finalize();
}

/** Adds an entry, and waits until the archive has taken it: a large file is never in memory as a whole. */
async function addEntry(archive, header, entry) {
  if (entry.type !== 'file' || entry.from === undefined) {
    const data = entry.type === 'file' ? contentOf(entry) : undefined;
    await new Promise((resolve, reject) =>
      archive.entry(header, data, (error) => (error ? reject(error) : resolve())),
    );
    return;
  }
  const sink = archive.entry({ ...header, size: statSync(entry.from).size });
  await pipeline(createReadStream(entry.from), sink);
}

/** Returns the SHA-256 of a file, as an image names it. */
export async function digestOf(path) {
  const hash = createHash('sha256');
  for await (const chunk of createReadStream(path)) hash.update(chunk);
  return `sha256:${hash.digest('hex')}`;
}
