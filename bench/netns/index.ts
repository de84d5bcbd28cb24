/**
 * `npm run bench:netns`: the figures of docs/benchmarks.md for Weft, the kernel, Open vSwitch and a naive dataplane.
 *
 *     pod ── node1: ua 192.168.77.1/24 ── veth ── ub 192.168.77.2/24 :node2 ── pod
 *
 * For each figure all peers are measured one after the other, round after round. Each round begins with another
 * peer, so that a drift of the machine affects all of them alike.
 */

import { mkdir, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { Lab } from '../../lab/lab.js';
import type { VethMode } from '../../lab/underlay.js';
import type { Figure } from './figure.js';
import { describeMachine } from './machine.js';
import { type Options, parseOptions, USAGE } from './options.js';
import { type Peer, whyNot } from './peers.js';
import { markdownReport, type Sample, summarize } from './report.js';

interface Failure {
  readonly mode: string;
  readonly round: number;
  readonly figure: string;
  readonly peer: string;
  readonly reason: string;
}

/** Measures everything. A measurement that fails is recorded, and the others continue. */
async function measureAll(options: Options, peers: readonly Peer[]): Promise<[Sample[], Failure[]]> {
  const samples: Sample[] = [];
  const failures: Failure[] = [];
  for (const mode of options.modes) {
    for (let round = 1; round <= options.rounds; round++) {
      for (const figure of options.figures) {
        const order = peers.map((_, index) => peers[(index + round - 1) % peers.length]);
        for (const peer of order) {
          if (figure.without?.includes(peer.kind)) continue;
          const where = { mode, round, figure: figure.name, peer: peer.name };
          try {
            samples.push(
              ...(await measureOne(mode, figure, peer, options.seconds)).map((one) => ({ ...where, ...one })),
            );
            console.error(progress(where, figure, samples.slice(-figure.metrics.length)));
          } catch (error) {
            const reason = error instanceof Error ? error.message : String(error);
            failures.push({ ...where, reason });
            console.error(`${mode} round ${round} ${peer.name} ${figure.name}: FAILED: ${reason}`);
          }
        }
      }
    }
  }
  return [samples, failures];
}

/** Measures one figure of one peer in a test bed of its own, so that measurements do not affect each other. */
async function measureOne(
  mode: VethMode,
  figure: Figure,
  peer: Peer,
  seconds: number,
): Promise<Pick<Sample, 'metric' | 'unit' | 'value'>[]> {
  const lab = await Lab.create({ nodes: 2, podsPerNode: 1, mode, name: 'bench' });
  try {
    const values = await figure.measure({ lab, peer, seconds });
    return figure.metrics.flatMap(({ key, unit }) => {
      const value = values[key];
      return value === undefined ? [] : [{ metric: key, unit, value }];
    });
  } finally {
    await lab.dispose();
  }
}

function progress(where: Omit<Failure, 'reason'>, figure: Figure, samples: readonly Sample[]): string {
  const values = samples
    .filter((one) => one.peer === where.peer && one.figure === figure.name)
    .map(
      (one) => `${one.metric} ${Number(one.value.toPrecision(3))}${one.unit === '' ? '' : ` ${one.unit}`}`,
    );
  return `${where.mode} round ${where.round} ${where.peer.padEnd(7)} ${figure.name.padEnd(8)} ${values.join(', ')}`;
}

async function main(argv: readonly string[]): Promise<number> {
  const options = parseOptions(argv);
  if (options === 'help') {
    console.log(USAGE);
    return 0;
  }
  const machine = await describeMachine();
  const peers: Peer[] = [];
  for (const peer of options.peers) {
    const reason = await whyNot(peer);
    if (reason === undefined) peers.push(peer);
    else console.error(`left out: ${peer.name}: ${reason}`);
  }
  const [samples, failures] = await measureAll(options, peers);
  const names = peers.map((peer) => peer.name);
  const { rounds, seconds, modes, figures } = options;
  const summary = summarize(samples, modes, figures, names);
  const table = markdownReport(machine, summary, modes, figures, names);
  const result = { machine, options: { rounds, seconds, modes, peers: names }, summary, samples, failures };
  await mkdir(dirname(options.out), { recursive: true });
  await writeFile(options.out, `${JSON.stringify(result, null, 1)}\n`);
  await writeFile(options.out.replace(/(\.json)?$/, '.md'), table);
  console.log(`\n${table}\nwrote ${options.out} and the table beside it as .md`);
  for (const one of failures)
    console.error(`failed: ${one.mode} round ${one.round} ${one.peer} ${one.figure}`);
  return failures.length === 0 ? 0 : 1;
}

// A closed pipe ends this process, and with it its world.
process.stdout.on('error', () => process.exit(1));

try {
  process.exitCode = await main(process.argv.slice(2));
} catch (error) {
  console.error(`bench: ${error instanceof Error ? error.message : error}\n${USAGE}`);
  process.exitCode = 1;
}
