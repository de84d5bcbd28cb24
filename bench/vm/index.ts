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
import type { GuestImage } from './guest.js';
import { ACCELERATION } from './machine.js';
import { LEVELS, measure, outlive, type Proof, prove, type Sample } from './measure.js';
import { type Options, parseOptions, USAGE } from './options.js';
import { proofTable, rateTable } from './report.js';

const MEBIBYTE = 1 << 20;

/** Returns the load of the machine over 1, 5 and 15 minutes. */
function load(): string {
  return loadavg()
    .map((one) => one.toFixed(1))
    .join(' ');
}

/** Returns the image of a suite: scripts/vm.mjs passes on what it made. */
function imageOf(suite: string): GuestImage {
  const made = JSON.parse(process.env.WEFT_GUESTS ?? '[]') as GuestImage[];
  const image = made.find((one) => one.suite === suite);
  if (image === undefined) throw new Error(`no kernel of ${suite} was made; use npm run vm`);
  return image;
}

/** Measures the kernel that has the fast path, and prints the tables of each link. */
async function compareLevels(image: GuestImage, options: Options): Promise<void> {
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
      await step(link, 'bpf: no ping is lost after SIGKILL and during the next start', () => outlive(bed));
      const samples: Sample[] = [];
      for (let round = 1; round <= options.rounds; round++) {
        for (const level of round % 2 === 1 ? LEVELS : [...LEVELS].reverse()) {
          const text = `${level}, round ${round}: iperf3 both ways, ${options.seconds} s each`;
          samples.push(await step(link, text, () => measure(bed, level, options.seconds)));
        }
      }
      const tables = [...proofTable(proofs), '', ...rateTable(samples)].join('\n');
      console.log(`\n${image.release} (Debian ${image.suite}), ${link}; load ${load()}:\n\n${tables}\n`);
    } finally {
      await bed.dispose();
    }
  }
}

/** Shows that a kernel which is too old refuses the fast path, and that `auto` does without. */
async function showRefusal(image: GuestImage): Promise<void> {
  const bed = await step('old', `boot ${image.release}`, () => Bed.create(image, 'virt'));
  try {
    const lines = await step('old', '--offload bpf refuses, --offload auto uses gso', async () => {
      const { status, output } = await bed.node.tryRun('bpf');
      const errors = output.trim().split('\n');
      if (status !== 1 || errors.length !== 1)
        throw new Error(`--offload bpf ended with ${status}, not with 1 and one line: ${output}`);
      const line = await bed.node.runFor('auto', () => bed.node.offloadLine());
      if (!line.startsWith('level gso')) throw new Error(`--offload auto: ${line}`);
      return [`--offload bpf:  ${errors.at(0)}`, `--offload auto: ${line}`];
    });
    console.log(`\n${image.release} (Debian ${image.suite}):\n\n${lines.join('\n')}\n`);
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
  console.log(`${cpus()[0]?.model ?? 'unknown'}, ${cpus().length} cores, ${ACCELERATION}; load ${load()}\n`);
  for (const suite of options.kernels) await compareLevels(imageOf(suite), options);
  for (const suite of options.oldKernels) await showRefusal(imageOf(suite));
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
