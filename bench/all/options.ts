/** The command line of `npm run bench`. */

import { parseArgs } from 'node:util';
import { FIGURES, type Flags, type Options, optionsOf, stringFlags } from '../netns/options.js';

/** The result that the charts of docs/images show; `--docs` updates both. */
export const RECORDED = 'bench/results/speed.json';

const FULL: Flags = {
  rounds: '3',
  seconds: '5',
  figures: FIGURES.map((figure) => figure.name).join(','),
  peers: 'kernel,weft@bpf,weft@gso,weft@none',
  modes: 'plain,virt',
  out: 'dist/bench',
};
const QUICK: Partial<Flags> = { rounds: '1', seconds: '2', figures: 'tcp1,tcp4,small,latency' };

export const USAGE = `use: npm run bench -- [flags]       all figures: more than an hour
  --quick            ${QUICK.figures}, 1 round, 2 s each: minutes
  --rounds N         rounds, each of every peer in turn            (${FULL.rounds})
  --seconds N        length of one traffic run                     (${FULL.seconds})
  --figures LIST     figures, as in npm run bench:netns -- --help  (all)
  --peers LIST       dataplanes, as there
                     (${FULL.peers})
  --modes LIST       links: plain,virt                             (${FULL.modes})
  --out DIR          for results, table and charts                 (${FULL.out})
  --chart-from FILE  measure nothing: draw the charts of an earlier result
  --docs             also write ${RECORDED} and docs/images/speed-*.svg`;

/** What `npm run bench` shall do. */
export interface BenchOptions {
  /** What to measure; `out` is a folder. */
  readonly measure: Options;
  /** A result whose charts are drawn instead of measuring. */
  readonly chartFrom: string | undefined;
  readonly docs: boolean;
}

/** Parses the command line; throws an error that names flag and value. */
export function parseBenchOptions(argv: readonly string[]): BenchOptions | 'help' {
  const { values } = parseArgs({
    args: [...argv],
    options: {
      ...stringFlags(FULL),
      'chart-from': { type: 'string' },
      quick: { type: 'boolean', default: false },
      docs: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  });
  const { quick, docs, help, 'chart-from': chartFrom, ...chosen } = values;
  if (help) return 'help';
  return { measure: optionsOf({ ...FULL, ...(quick ? QUICK : {}), ...chosen }), chartFrom, docs };
}
