/** The command line of `npm run vm`. */

import { parseArgs } from 'node:util';
import type { LinkMode } from './guest.js';

export interface Options {
  readonly rounds: number;
  readonly seconds: number;
  readonly megabytes: number;
  readonly links: readonly LinkMode[];
  /** Debian suites whose kernel has the fast path. */
  readonly kernels: readonly string[];
  /** Debian suites whose kernel is too old for it. */
  readonly oldKernels: readonly string[];
}

export const USAGE = `use: npm run vm -- [flags]
  --rounds N          rounds, each of bpf and gso in turn                  (3)
  --seconds N         length of one iperf3 run                             (5)
  --megabytes N       size of the transfers with hash                      (30)
  --links LIST        plain,virt                                           (plain,virt)
  --kernels LIST      Debian suites whose kernel has the fast path         (bookworm)
  --old-kernels LIST  suites whose kernel is too old for it, or none       (bullseye-security)`;

/** Parses the command line; throws an error that names flag and value. */
export function parseOptions(argv: readonly string[]): Options | 'help' {
  const { values } = parseArgs({
    args: [...argv],
    options: {
      rounds: { type: 'string', default: '3' },
      seconds: { type: 'string', default: '5' },
      megabytes: { type: 'string', default: '30' },
      links: { type: 'string', default: 'plain,virt' },
      kernels: { type: 'string', default: 'bookworm' },
      'old-kernels': { type: 'string', default: 'bullseye-security' },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) return 'help';
  return {
    rounds: count('--rounds', values.rounds),
    seconds: count('--seconds', values.seconds),
    megabytes: count('--megabytes', values.megabytes),
    links: listed(values.links).map((name) => {
      if (name === 'plain' || name === 'virt') return name;
      throw new Error(`--links: '${name}' is unknown; choose from plain, virt`);
    }),
    kernels: suites('--kernels', values.kernels),
    oldKernels: suites('--old-kernels', values['old-kernels']),
  };
}

/** Returns the names in a list; `none` is an empty one. */
function listed(text: string): string[] {
  return text === 'none' ? [] : text.split(',');
}

function suites(flag: string, text: string): string[] {
  for (const name of listed(text))
    if (!/^[a-z]+(-[a-z]+)*$/.test(name)) throw new Error(`${flag}: '${name}' is no name of a Debian suite`);
  return listed(text);
}

function count(flag: string, text: string): number {
  const value = Number(text);
  if (Number.isInteger(value) && value >= 1) return value;
  throw new Error(`${flag}: '${text}' is not a whole number of at least 1`);
}
