/** `npm run soak -- --minutes N`: runs the soak test, charts it, and exits with 1 if a limit is broken. */

import { mkdir, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { parseArgs } from 'node:util';
import { Lab } from '../../lab/lab.js';
import { describeMachine } from '../netns/machine.js';
import { chart } from './chart.js';
import type { Sample } from './samples.js';
import { soak } from './soak.js';

const USAGE = `use: npm run soak -- [flags]
  --minutes N      length of the load                                   (30)
  --peak MIB       limit of the RSS of a node after its start           (72)
  --growth MIB     limit of its growth per 10 minutes, after the first  (1)
  --out FILE.json  samples and result                                   (dist/soak.json)`;

const SERIES: readonly [title: string, value: (sample: Sample) => number][] = [
  ['RSS, MiB', ({ rss }) => rss],
  ['memory that is no file, MiB', ({ anonymous }) => anonymous],
  ['descriptors', ({ descriptors }) => descriptors],
  ['round trip p50, ms', ({ p50 }) => p50],
  ['round trip p99.9, ms', ({ p999 }) => p999],
  ['repairs', ({ repairs }) => repairs],
];

function positive(flag: string, text: string): number {
  const value = Number(text);
  if (value > 0) return value;
  throw new Error(`${flag}: '${text}' is not a positive number`);
}

async function main(argv: string[]): Promise<number> {
  const text = { type: 'string' } as const;
  const { values } = parseArgs({
    args: argv,
    options: {
      minutes: { ...text, default: '30' },
      peak: { ...text, default: '72' },
      growth: { ...text, default: '1' },
      out: { ...text, default: 'dist/soak.json' },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) {
    console.log(USAGE);
    return 0;
  }
  const minutes = positive('--minutes', values.minutes);
  const limits = { peak: positive('--peak', values.peak), growth: positive('--growth', values.growth) };
  const lab = await Lab.create({ nodes: 2, podsPerNode: 1, name: 'soak' });
  try {
    const result = await soak(lab, {
      minutes,
      limits,
      onSample: (node, { at, rss, anonymous, descriptors, p50, p999, repairs }) =>
        console.error(
          `${at} s ${node}: RSS ${rss.toFixed(1)} MiB (${anonymous.toFixed(1)} no file), ${descriptors} descriptors, round trip ${p50}/${p999} ms, ${repairs} repairs`,
        ),
    });
    const machine = await describeMachine();
    await mkdir(dirname(values.out), { recursive: true });
    await writeFile(values.out, `${JSON.stringify({ machine, minutes, limits, ...result }, null, 1)}\n`);
    for (const [node, samples] of Object.entries(result.samples)) {
      console.log(`\n${node}, ${minutes} min, RSS peak ${result.peaks[node]?.toFixed(1)} MiB\n`);
      for (const [title, value] of SERIES) console.log(chart(title, samples.map(value)));
    }
    const { sent, lost, lostInFlaps, countedDrops } = result.pings;
    console.log(
      `pings: ${sent} sent, ${lostInFlaps} lost in flaps, ${lost} at other times; ${countedDrops} packets counted as dropped`,
    );
    console.log(`load: ${JSON.stringify(result.counts)}\nwrote ${values.out}`);
    for (const line of result.broken) console.error(`limit broken: ${line}`);
    return result.broken.length === 0 ? 0 : 1;
  } finally {
    await lab.dispose();
  }
}

try {
  process.exitCode = await main(process.argv.slice(2));
} catch (error) {
  console.error(`soak: ${error instanceof Error ? error.message : error}\n${USAGE}`);
  process.exitCode = 1;
}
