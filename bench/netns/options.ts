/** The command line of the benchmark. */

import { parseArgs } from 'node:util';
import type { VethMode } from '../../lab/underlay.js';
import type { Figure } from './figure.js';
import { hostileFigures } from './hostile.js';
import { type Peer, peerOf } from './peers.js';
import { resourceFigures } from './resources.js';
import { restartFigure } from './restart.js';
import { scaleFigures } from './scale.js';
import { startFigure } from './start.js';
import { trafficFigures } from './traffic.js';

export const FIGURES: readonly Figure[] = [
  ...trafficFigures,
  ...resourceFigures,
  ...scaleFigures,
  ...hostileFigures,
  startFigure,
  restartFigure,
];

export interface Options {
  readonly rounds: number;
  readonly seconds: number;
  readonly figures: readonly Figure[];
  readonly peers: readonly Peer[];
  readonly modes: readonly VethMode[];
  /** Path of the JSON; the table is written beside it as .md. */
  readonly out: string;
}

export const USAGE = `use: npm run bench:netns -- [flags]
  --rounds N       rounds, each of every peer in turn                 (5)
  --seconds N      length of one traffic run                          (8)
  --figures LIST   ${FIGURES.map((figure) => figure.name).join(',')}
                   (all)
  --peers LIST     kernel,ovs,naive,proxy,weft, or weft@LEVEL              (kernel,ovs,naive,weft)
  --modes LIST     plain,virt                                         (plain,virt)
  --out FILE.json  samples; a Markdown table is written beside it     (dist/bench-netns.json)`;

/** The texts of the flags. */
export type Flags = Readonly<Record<'rounds' | 'seconds' | 'figures' | 'peers' | 'modes' | 'out', string>>;

const DEFAULTS: Flags = {
  rounds: '5',
  seconds: '8',
  figures: FIGURES.map((figure) => figure.name).join(','),
  peers: 'kernel,ovs,naive,weft',
  modes: 'plain,virt',
  out: 'dist/bench-netns.json',
};

/** Parses the command line; throws an error that names flag and value. */
export function parseOptions(argv: readonly string[]): Options | 'help' {
  const { values } = parseArgs({
    args: [...argv],
    options: { ...stringFlags(DEFAULTS), help: { type: 'boolean', default: false } },
  });
  return values.help ? 'help' : optionsOf({ ...DEFAULTS, ...values });
}

/** Returns the flags as parseArgs takes them. */
export function stringFlags<Name extends string>(
  names: Readonly<Record<Name, string>>,
): Record<Name, { type: 'string' }> {
  return Object.fromEntries(Object.keys(names).map((name) => [name, { type: 'string' }])) as Record<
    Name,
    { type: 'string' }
  >;
}

/** Returns the options of the flags' texts; throws an error that names flag and value. */
export function optionsOf(values: Flags): Options {
  return {
    rounds: count('--rounds', values.rounds),
    seconds: count('--seconds', values.seconds),
    figures: values.figures
      .split(',')
      .map((name) => chosen('--figures', name, FIGURES, (figure) => figure.name)),
    peers: values.peers.split(',').map(peerOf),
    modes: values.modes
      .split(',')
      .map((name) => chosen('--modes', name, ['plain', 'virt'] as const, (mode) => mode)),
    out: values.out,
  };
}

function count(flag: string, text: string): number {
  const value = Number(text);
  if (Number.isInteger(value) && value >= 1) return value;
  throw new Error(`${flag}: '${text}' is not a whole number of at least 1`);
}

function chosen<T>(flag: string, name: string, from: readonly T[], nameOf: (one: T) => string): T {
  const found = from.find((one) => nameOf(one) === name);
  if (found !== undefined) return found;
  throw new Error(`${flag}: '${name}' is unknown; choose from ${from.map(nameOf).join(', ')}`);
}
