// Writes the image as one archive that `docker load`, `podman load` and `k3s ctr images import` read: an OCI image layout
// (github.com/opencontainers/image-spec) with Docker's manifest.json beside it. The same input gives the same digests.

import { createHash } from 'node:crypto';
import { mkdirSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { DEBIAN } from './debian.mjs';
import { imageTree } from './image-tree.mjs';
import { sourceDate } from './source-date.mjs';
import { Tree, writeArchive, writeLayer } from './tar.mjs';

const OCI = 'application/vnd.oci.image';

/** What a container of the image runs and knows, unless its manifest says otherwise. */
export const RUNTIME = {
  Entrypoint: ['/usr/bin/weft'],
  Env: ['PATH=/usr/sbin:/usr/bin'],
  WorkingDir: '/',
};

/**
 * Writes weft-<version>-oci-<arch>.tar into a folder.
 * @param {{ arch: 'amd64' | 'arm64', version: string, outDir: string, fresh?: boolean, level?: number }} options
 *   fresh: ask for newer Debian packages; level: of the compression
 * @returns {Promise<{ path: string, digest: string, components: object[] }>}
 *   the digest of the image's manifest, and Debian's packages as components of a CycloneDX bill of materials
 */
export async function writeImage({ arch, version, outDir, fresh = true, level = 9 }) {
  const { layers, packages } = await imageTree({ arch, fresh });
  const date = new Date((await sourceDate()) * 1000);
  mkdirSync(outDir, { recursive: true });
  const work = join(outDir, `.oci-${arch}`);
  rmSync(work, { recursive: true, force: true });
  mkdirSync(work, { recursive: true });
  const archive = new Tree();
  const blob = (content, { digest, size }) => {
    archive.file(`/blobs/${digest.replace(':', '/')}`, content);
    return { digest, size };
  };
  const json = (value) => {
    const data = Buffer.from(JSON.stringify(value));
    const digest = `sha256:${createHash('sha256').update(data).digest('hex')}`;
    return blob({ data }, { digest, size: data.length });
  };
  const written = [];
  for (const [name, tree] of Object.entries(layers)) {
    const path = join(work, name);
    const layer = await writeLayer(tree, path, date, level);
    written.push({ name, diffId: layer.diffId, ...blob({ from: path }, layer) });
  }
  const config = json(configuration(arch, version, date, packages, written));
  const manifest = json({
    schemaVersion: 2,
    mediaType: `${OCI}.manifest.v1+json`,
    config: { mediaType: `${OCI}.config.v1+json`, ...config },
    layers: written.map(({ digest, size }) => ({ mediaType: `${OCI}.layer.v1.tar+gzip`, digest, size })),
  });
  archive.file('/oci-layout', { data: JSON.stringify({ imageLayoutVersion: '1.0.0' }) });
  archive.file('/index.json', { data: JSON.stringify(index(arch, version, manifest)) });
  archive.file('/manifest.json', { data: JSON.stringify(dockerManifest(version, config, written)) });
  const file = `weft-${version}-oci-${arch}.tar`;
  await writeArchive(archive, join(work, file), date);
  renameSync(join(work, file), join(outDir, file));
  rmSync(work, { recursive: true });
  return { path: join(outDir, file), digest: manifest.digest, components: packages.map(componentOf) };
}

function componentOf({ name, version, arch, sha256 }) {
  const purl = `pkg:deb/debian/${name}@${encodeURIComponent(version)}?arch=${arch}&distro=debian-${DEBIAN}`;
  return {
    'bom-ref': purl,
    type: 'library',
    name,
    version,
    purl,
    hashes: [{ alg: 'SHA-256', content: sha256 }],
  };
}

function configuration(arch, version, date, packages, layers) {
  return {
    created: date.toISOString(),
    architecture: arch,
    os: 'linux',
    config: { ...RUNTIME, Labels: labels(version, packages) },
    rootfs: { type: 'layers', diff_ids: layers.map(({ diffId }) => diffId) },
    history: layers.map(({ name }) => ({ created: date.toISOString(), created_by: `weft release: ${name}` })),
  };
}

/** Returns the labels of the image; the Dockerfile sets the same ones but the packages. */
export function labels(version, packages) {
  return {
    'org.opencontainers.image.title': 'weft',
    'org.opencontainers.image.description':
      "Userspace VXLAN dataplane that takes flanneld's place on Linux nodes without the vxlan kernel module",
    'org.opencontainers.image.version': version,
    'org.opencontainers.image.licenses': 'Apache-2.0',
    'weft.debian.packages': packages.map(({ name, version: found }) => `${name}=${found}`).join(' '),
  };
}

/** Returns index.json. containerd and podman take the full name, other tools the tag. */
function index(arch, version, manifest) {
  return {
    schemaVersion: 2,
    mediaType: `${OCI}.index.v1+json`,
    manifests: [
      {
        mediaType: `${OCI}.manifest.v1+json`,
        ...manifest,
        platform: { architecture: arch, os: 'linux' },
        annotations: {
          'io.containerd.image.name': `docker.io/library/weft:${version}`,
          'org.opencontainers.image.ref.name': version,
        },
      },
    ],
  };
}

/** Returns manifest.json, which Docker before 25 reads. */
function dockerManifest(version, config, layers) {
  const path = ({ digest }) => `blobs/${digest.replace(':', '/')}`;
  return [{ Config: path(config), RepoTags: [`weft:${version}`], Layers: layers.map(path) }];
}
