// `npm run install:check`: takes each way to install of the README from a clean state. It measures the seconds to the first
// ping between a pod of Weft and a pod of a kernel peer.
//
// - The package: `npm run vm:package`, in virtual machines with systemd and a kernel without vxlan.
// - kubeadm, beside kube-flannel, k3s: the archive of the image is unpacked by umoci, as a container runtime imports it.
//   Then test/netns/overlays applies the overlay: crun runs the init containers and Weft, with the settings of the overlay
//   and an API server. There is no kubelet, so that the time of the scheduler is missing.

import { mkdirSync, readFileSync, rmSync } from 'node:fs';
import { main, ROOT, run, SetupError, say } from './run.mjs';
import { setUp } from './setup.mjs';

const FOLDER = `${ROOT}node_modules/.cache/image/install`;
const HERE = process.arch === 'x64' ? 'amd64' : process.arch;
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
  const { path } = await writeImage({ arch: HERE, version, outDir: FOLDER, level: 1 });
  const startedAt = performance.now();
  await run(['mkdir', `${FOLDER}/oci`]);
  await run(['tar', '-xf', path, '-C', `${FOLDER}/oci`]);
  await run(['umoci', 'unpack', '--image', `${FOLDER}/oci:${version}`, `${FOLDER}/bundle`]);
  const importing = (performance.now() - startedAt) / 1000;
  say(`importing the image took ${importing.toFixed(1)} s`);
  const env = { WEFT_IMAGE_ROOT: `${FOLDER}/bundle/rootfs`, WEFT_IMAGE_ARCHIVE: path };
  const output = await run([process.execPath, 'scripts/test.mjs', 'test/netns/overlays'], { env });
  const found = [...output.matchAll(/the overlay (\S+) .*: seconds to the first ping: ([\d.]+)/g)];
  if (found.length === 0) throw new SetupError(`the tests of the overlays report no time:\n${output}`);
  const rows = found.map(([, way, seconds]) => ({ way, seconds: importing + Number(seconds) }));
  for (const { way, seconds } of rows) say(`${way}: ${seconds.toFixed(1)} s to the first ping`);
  return rows;
}

async function tryPackages() {
  const output = await run([process.execPath, 'scripts/vm-package.mjs']);
  return [...output.matchAll(/^\| (amd64|arm64) +\|.*\| +([\d.]+) \|$/gm)].map(([, arch, seconds]) => ({
    way: `package, ${arch}, emulated`,
    seconds: Number(seconds),
  }));
}
