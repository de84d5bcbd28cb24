/**
 * `npm run vm`: Weft in virtual machines with kernels of Debian that have no vxlan module, against this machine's kernel
 * vxlan. It checks every byte, compares the offload levels `bpf` and `gso`, and shows that a kernel which is too old for
 * the fast path refuses it.
 */

import { cpus, loadavg, release } from 'node:os';
import { kernelHasVxlan } from '../../lab/dataplanes/kernel.js';
import { StepError, step } from '../../lab/steps.js';
import { requireWorld } from '../../lab/world.js';
import { Bed } from './bed.js';
import { ACCELERATION, type GuestImage } from './guest.js';
import { LEVELS, measure, type Proof, prove, type Sample } from './measure.js';
import { type Options, parseOptions, USAGE } from './options.js';
import { proofTable, rateTable } from './report.js';

const MEBIBYTE = 1 << 20;

/** Returns the images that scripts/vm.mjs passes on, by suite. */
function images(): Map<string, GuestImage> {
  const list = JSON.parse(process.env.WEFT_GUESTS ?? '[]') as GuestImage[];
  return new Map(list.map((image) => [image.suite, image]));
}

/** Measures the kernel that has the fast path, on each link. */
async function compareLevels(image: GuestImage, options: Options): Promise<string[]> {
  const lines: string[] = [];
  for (const link of options.links) {
    const bed = await step(link, `boot ${image.release}, join it to kernel vxlan (${release()})`, () =>
      Bed.create(image, link),
    );
    try {
      const proofs: Proof[] = [];
      for (const level of LEVELS) {
        const text = `${level}: ${options.megabytes} MiB each way, hash, checksums, counters`;
        proofs.push(await step(link, text, () => prove(bed, level, options.megabytes * MEBIBYTE)));
      }
      const samples: Sample[] = [];
      for (let round = 1; round <= options.rounds; round++) {
        for (const level of round % 2 === 1 ? LEVELS : [...LEVELS].reverse()) {
          const text = `${level}, round ${round}: iperf3 both ways, ${options.seconds} s each`;
          samples.push(await step(link, text, () => measure(bed, level, options.seconds)));
        }
      }
      lines.push(`${link}:`, '', ...proofTable(proofs), '', ...rateTable(samples), '');
    } finally {
      await bed.dispose();
    }
  }
  return lines;
}

/** Shows that a kernel which is too old refuses the fast path, and that `auto` does without. */
async function showRefusal(image: GuestImage): Promise<string[]> {
  const bed = await step('old', `boot ${image.release}`, () => Bed.create(image, 'virt'));
  try {
    return await step('old', '--offload bpf refuses, --offload auto uses gso', async () => {
      const { status, output } = await bed.node.tryRun('bpf');
      const errors = output.trim().split('\n');
      if (status !== 1) throw new Error(`--offload bpf ended with ${status}, not 1: ${output}`);
      const line = await bed.node.runFor('auto', () => bed.node.offloadLine());
      if (!line.startsWith('level gso')) throw new Error(`--offload auto: ${line}`);
      const heading = `${image.release} (Debian ${image.suite}), --offload bpf and auto:`;
      return [heading, '', `    ${errors.at(-1)}`, `    ${line}`, ''];
    });
  } finally {
    await bed.dispose();
  }
}

async function main(argv: readonly string[]): Promise<number> {
  const options = parseOptions(argv);
  if (options === 'help') {
    console.log(USAGE);
    return 0;
  }
  requireWorld();
  if (!(await kernelHasVxlan())) throw new Error('this kernel has no vxlan, which the peer needs');
  const made = images();
  const load = () =>
    loadavg()
      .map((one) => one.toFixed(1))
      .join(' ');
  const lines = [
    `${cpus()[0]?.model ?? 'unknown'}, ${cpus().length} cores, ${ACCELERATION}; load ${load()}`,
    '',
  ];
  for (const suite of options.kernels) {
    const image = made.get(suite);
    if (image === undefined) throw new Error(`no image for ${suite}`);
    lines.push(`## ${image.release} (Debian ${suite})`, '', ...(await compareLevels(image, options)));
  }
  for (const suite of options.oldKernels) {
    const image = made.get(suite);
    if (image === undefined) throw new Error(`no image for ${suite}`);
    lines.push(...(await showRefusal(image)));
  }
  console.log(`\n${lines.join('\n')}load at the end: ${load()}`);
  return 0;
}

// A closed pipe ends this process, and with it its world.
process.stdout.on('error', () => process.exit(1));

try {
  process.exitCode = await main(process.argv.slice(2));
} catch (error) {
  const where = error instanceof StepError ? `step '${error.step}'` : 'vm';
  console.error(`${where} failed: ${error instanceof Error ? error.message : error}`);
  process.exitCode = 1;
}
