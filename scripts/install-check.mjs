// `npm run install:check`: takes each way to install of the README from a clean state. It measures the seconds to the first
// ping between a pod of Weft and a pod of a kernel peer.
//
// - The package: `npm run vm:package`, in virtual machines with systemd and a kernel without vxlan.
// - kubeadm, beside kube-flannel, k3s: the archive of the image is unpacked by umoci, as a container runtime imports it.
//   Then test/netns/overlays applies the overlay: crun runs the init containers and Weft, with the settings of the overlay
//   and an API server. There is no kubelet, so that the time of the scheduler is missing.

import { mkdirSync, readFileSync, rmSync } from 'node:fs';
import { ARCHITECTURE, unpackArchive } from './image.mjs';
import { main, ROOT, run, SetupError, say } from './run.mjs';
import { setUp } from './setup.mjs';

const FOLDER = `${ROOT}node_modules/.cache/image/install`;
/** What the README promises. */
const LIMIT_S = 300;

await main(async () => {
  await setUp(['test', 'image', 'image-test', 'image-check', 'vm-package', 'release']);
  const rows = [...(await tryOverlays()), ...(await tryPackages())];
  console.log(`\nseconds to the first ping between pods (limit ${LIMIT_S}):\n`);
  for (const { way, seconds } of rows) console.log(`  ${way.padEnd(28)} ${seconds.toFixed(1).padStart(6)}`);
  return rows.every(({ seconds }) => seconds < LIMIT_S) ? 0 : 1;
});

async function tryOverlays() {
  rmSync(FOLDER, { recursive: true, force: true });
  mkdirSync(FOLDER, { recursive: true });
  const { writeImage } = await import('./release/oci.mjs');
  const { version } = JSON.parse(readFileSync(`${ROOT}package.json`, 'utf8'));
  say('making the image');
  const { path } = await writeImage({ arch: ARCHITECTURE, version, outDir: FOLDER, level: 1 });
  const startedAt = performance.now();
  const env = await unpackArchive({ archive: path, version, folder: FOLDER });
  const importing = (performance.now() - startedAt) / 1000;
  say(`importing the image took ${importing.toFixed(1)} s`);
  const output = await run([process.execPath, 'scripts/test.mjs', 'test/netns/overlays'], { env });
  const pattern = /the overlay (\S+) .*: seconds to the first ping: ([\d.]+)/g;
  const rows = rowsIn(output, pattern).map(({ way, seconds }) => ({ way, seconds: importing + seconds }));
  for (const { way, seconds } of rows) say(`${way}: ${seconds.toFixed(1)} s to the first ping`);
  return rows;
}

async function tryPackages() {
  const output = await run([process.execPath, 'scripts/vm-package.mjs']);
  const pattern = /^\| (amd64|arm64) +\|.*\| +([\d.]+) \|$/gm;
  return rowsIn(output, pattern).map(({ way, seconds }) => ({ way: `package, ${way}, emulated`, seconds }));
}

/** Returns the ways and seconds in the output of a command. @throws SetupError if there are none */
function rowsIn(output, pattern) {
  const rows = [...output.matchAll(pattern)].map(([, way, seconds]) => ({ way, seconds: Number(seconds) }));
  if (rows.length === 0) throw new SetupError(`no seconds to the first ping in this output:\n${output}`);
  return rows;
}
