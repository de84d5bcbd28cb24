/**
 * `npm run vm:package`: installs, upgrades and purges the Debian package in virtual machines without the vxlan module.
 * The peer is this machine's kernel vxlan. It measures the time from `apt-get install` to the first ping between pods.
 */

import { cpus, loadavg } from 'node:os';
import { netConf } from '../../lab/leases.js';
import { StepError, step } from '../../lab/steps.js';
import { markdownTable } from '../../lab/table.js';
import { requireWorld } from '../../lab/world.js';
import { Bed } from '../vm/bed.js';
import type { GuestImage } from '../vm/guest.js';
import { ACCELERATION } from '../vm/machine.js';
import { BEFORE, PackagedNode } from './packaged-node.js';

/** A guest and the package in its second disk: scripts/vm-package.mjs makes both. */
interface Trial extends GuestImage {
  readonly arch: 'amd64' | 'arm64';
  readonly data: string;
}

/** What a trial showed. */
interface Result {
  readonly arch: string;
  readonly seconds: { readonly install: number; readonly start: number; readonly ping: number };
  readonly description: string;
}

async function tryPackage(trial: Trial): Promise<Result> {
  const { arch } = trial;
  const bed = await step(arch, `boot ${trial.release} with systemd, join it to kernel vxlan`, () =>
    Bed.create(trial, 'plain', netConf()),
  );
  try {
    const node = new PackagedNode(bed, trial.data);
    await step(arch, 'the kernel has no vxlan module', () => node.expectNoVxlan());
    await step(arch, 'copy the package to the node', () => node.copyPackage());
    await step(arch, 'note files, devices, routes and rules', () => node.noteState(BEFORE));
    const startedAt = performance.now();
    const since = () => (performance.now() - startedAt) / 1000;
    await step(arch, 'apt-get install ./weft.deb', () => node.install());
    const install = since();
    await step(arch, 'it starts nothing: write weft.conf, systemctl enable --now weft', () => node.start());
    const start = since();
    await step(arch, 'first ping between the pods', () => node.firstPing());
    const ping = since();
    await step(arch, 'ping from the peer', () => node.pingFromPeer());
    const description = await node.describe();
    await step(arch, 'an upgrade replaces the process and loses no ping', () => node.upgrade());
    await step(arch, 'apt-get purge leaves nothing behind', () => node.purge());
    return { arch, seconds: { install, start, ping }, description };
  } finally {
    await bed.dispose();
  }
}

async function main(): Promise<void> {
  requireWorld();
  const trials = JSON.parse(process.env.WEFT_TRIALS ?? '[]') as Trial[];
  const results: Result[] = [];
  for (const trial of trials) results.push(await tryPackage(trial));
  const load = loadavg()
    .map((one) => one.toFixed(1))
    .join(' ');
  const columns = ['installed', 'service started', 'first ping'].map((title) => ({
    title: `${title}, s`,
    right: true,
  }));
  const table = markdownTable(
    [{ title: 'package' }, ...columns],
    results.map(({ arch, seconds: { install, start, ping } }) => [
      arch,
      ...[install, start, ping].map((seconds) => seconds.toFixed(1)),
    ]),
  );
  console.log(`\n${cpus()[0]?.model ?? 'unknown'}, ${cpus().length} cores, ${ACCELERATION}; load ${load}`);
  console.log(`Seconds since \`apt-get install ./weft.deb\`:\n\n${table.join('\n')}\n`);
  for (const { arch, description } of results) console.log(`${arch}: ${description}`);
}

// A closed pipe ends this process, and with it its world.
process.stdout.on('error', () => process.exit(1));

try {
  await main();
} catch (error) {
  const where = error instanceof StepError ? `step '${error.step}'` : 'vm:package';
  console.error(`${where} failed: ${error instanceof Error ? error.message : error}`);
  process.exitCode = 1;
}
