/**
 * Measures figures of peers, round after round, and reports each one as it is done.
 *
 *     pod ── node1: ua 192.168.77.1/24 ── veth ── ub 192.168.77.2/24 :node2 ── pod
 *
 * For each figure all peers are measured one after the other. Each round begins with another peer, so that a drift of
 * the machine affects all of them alike.
 */

import { Lab } from '../../lab/lab.js';
import { inPlace } from '../../lab/steps.js';
import type { Options } from './options.js';
import { type Peer, whyNot } from './peers.js';
import { Clock, duration, type Measurement, planOf } from './plan.js';
import { type Sample, short } from './report.js';

/** A measurement that failed. */
export interface Failure {
  readonly mode: string;
  readonly round: number;
  readonly figure: string;
  readonly peer: string;
  readonly reason: string;
}

/** The widest line of progress on a terminal, so that it can be replaced. */
const WIDTH = 79;

/** Returns the peers that this machine can run, and says which are left out. */
export async function presentPeers(wanted: readonly Peer[]): Promise<Peer[]> {
  const peers: Peer[] = [];
  for (const peer of wanted) {
    const reason = await whyNot(peer);
    if (reason === undefined) peers.push(peer);
    else console.error(`left out: ${peer.name}: ${reason}`);
  }
  if (peers.length === 0) throw new Error('none of the dataplanes of --peers can run on this machine');
  return peers;
}

/**
 * Measures everything. A measurement that fails is recorded, and the others continue. `save` gets all samples so far
 * after each measurement, because an interruption ends this process at once.
 */
export async function measureAll(
  options: Options,
  peers: readonly Peer[],
  save: (samples: readonly Sample[], failures: readonly Failure[]) => void = () => undefined,
): Promise<[samples: Sample[], failures: Failure[]]> {
  const samples: Sample[] = [];
  const failures: Failure[] = [];
  const plan = planOf(options, peers);
  const clock = new Clock(options.seconds);
  console.error(`${plan.length} measurements, about ${duration(clock.left(plan))}`);
  for (const [index, measurement] of plan.entries()) {
    const { mode, round, figure, peer } = measurement;
    const where = { mode, round, figure: figure.name, peer: peer.name };
    const left = duration(clock.left(plan.slice(index)));
    const head = `[${`${index + 1}`.padStart(`${plan.length}`.length)}/${plan.length}] ${nameOf(where)}`;
    showState(`${head} …  about ${left} left`);
    const startedAt = performance.now();
    try {
      const measured = await measureOne(measurement, options.seconds);
      samples.push(...measured.map((one) => ({ ...where, ...one })));
      print(`${head} ${valuesOf(measurement, measured)}`, left);
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      failures.push({ ...where, reason });
      print(`${head} FAILED: ${reason}`, left);
    }
    clock.add(measurement, (performance.now() - startedAt) / 1000);
    save(samples, failures);
  }
  return [samples, failures];
}

/** Names a measurement in a line of progress. */
export function nameOf({ mode, round, peer, figure }: Omit<Failure, 'reason'>): string {
  return `${mode.padEnd(5)} round ${round}  ${figure.padEnd(8)} ${peer.padEnd(9)}`;
}

/** Measures one figure of one peer in a test bed of its own, so that measurements do not affect each other. */
async function measureOne(
  { mode, figure, peer }: Measurement,
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

/** Returns the values that compare peers; those that only explain others are in the JSON file. */
function valuesOf(
  { figure }: Measurement,
  measured: readonly Pick<Sample, 'metric' | 'unit' | 'value'>[],
): string {
  const compared = measured.filter(({ metric }) =>
    figure.metrics.some(({ key, better }) => key === metric && better !== 'none'),
  );
  return compared
    .map(({ metric, unit, value }, index) => {
      const name = compared.length === 1 ? '' : `${metric} `;
      // Values in a row with the same unit name it once.
      const same = unit === '' || compared[index + 1]?.unit === unit;
      return `${name}${short(value)}${same ? '' : ` ${unit}`}`;
    })
    .join(', ');
}

/** Shows the current measurement on a terminal. */
function showState(text: string): void {
  if (process.stderr.isTTY) process.stderr.write(inPlace(text.slice(0, WIDTH)));
}

/** Prints a finished measurement; a file or a pipe gets the time left with it. */
function print(text: string, left: string): void {
  process.stderr.write(process.stderr.isTTY ? `${inPlace(text)}\n` : `${text}  (${left} left)\n`);
}
