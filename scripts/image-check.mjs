// `npm run image:check`: the acceptance of the image. It makes the archives of both architectures as a release does, twice for
// this machine's; reads them with other tools; and runs the tests of the image on what such a tool has unpacked.

import { mkdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { ARCHITECTURE, unpackArchive } from './image.mjs';
import { main, ROOT, run, SetupError, say } from './run.mjs';
import { setUp } from './setup.mjs';

const FOLDER = `${ROOT}node_modules/.cache/image/check`;

await main(async () => {
  await setUp(['image', 'image-test', 'image-check']);
  rmSync(FOLDER, { recursive: true, force: true });
  mkdirSync(FOLDER, { recursive: true });
  const { writeImage } = await import('./release/oci.mjs');
  const { version } = JSON.parse(readFileSync(`${ROOT}package.json`, 'utf8'));
  const images = {};
  for (const arch of ['amd64', 'arm64']) {
    images[arch] = await writeImage({ arch, version, outDir: FOLDER });
    const { path, digest } = images[arch];
    for (const transport of ['oci-archive', 'docker-archive']) await inspect(`${transport}:${path}`, arch);
    say(`${path.slice(ROOT.length)}: ${(statSync(path).size / (1 << 20)).toFixed(1)} MiB, ${digest}`);
  }
  const again = await writeImage({ arch: ARCHITECTURE, version, outDir: `${FOLDER}/again`, fresh: false });
  if (again.digest !== images[ARCHITECTURE].digest)
    throw new SetupError(
      `a second run wrote the digest ${again.digest}, and the first ${images[ARCHITECTURE].digest}`,
    );
  say(`a second run wrote the same digest`);
  const env = await unpackArchive({ archive: images[ARCHITECTURE].path, version, folder: FOLDER });
  await run([process.execPath, 'scripts/test.mjs', 'test/netns/image'], { show: true, env });
});

/** Reads an archive with skopeo, which checks the digests of what it reads. */
async function inspect(name, arch) {
  const output = JSON.parse(await run(['skopeo', `--override-arch=${arch}`, 'inspect', name]));
  if (output.Architecture !== arch || output.Layers.length !== 3)
    throw new SetupError(
      `skopeo reads ${name} as ${output.Architecture} with ${output.Layers.length} layers`,
    );
}
