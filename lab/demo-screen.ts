/** The last screen of `npm run demo`: at most 24 lines of at most 80 columns, problems first. */

import type { Paint } from './paint.js';
import { type Column, textTable } from './table.js';
import type { PingResult } from './traffic/ping.js';

/** The results of one dataplane, in the order of `Shown.pairs` and `Shown.streams`. */
export interface Result {
  readonly pings: readonly PingResult[];
  readonly gbits: readonly number[];
}

/** Two pods, and whether they are on the same node. */
export interface NamedPair {
  readonly name: string;
  readonly sameNode: boolean;
}

/** What the demo has shown. */
export interface Shown {
  readonly nodes: number;
  readonly pods: number;
  readonly pairs: readonly NamedPair[];
  /** The names of the TCP streams. */
  readonly streams: readonly string[];
  readonly weft: Result;
  /** The kernel's vxlan; undefined if this kernel has none. */
  readonly kernel: Result | undefined;
  /** The offload level that Weft used. */
  readonly level: string;
  /** The drop counters of all nodes, summed. */
  readonly drops: Readonly<Record<string, number>>;
  readonly release: string;
  readonly cores: number;
}

/** How many problems the screen has room for. */
const MAX_PROBLEMS = 3;

const NEXT = [
  '  npm run bench -- --quick   more figures, beside the kernel, in minutes',
  '  README.md                  install Weft on a node, or in a cluster',
  '  docs/benchmarks.md         what limits the speed, and on which machine',
];
const NEXT_AFTER_LOSS = [
  '  npm run demo               again: a busy machine may answer too late',
  '  docs/operations.md         what each drop counter means',
  '  CONTRIBUTING.md            what a bug report needs',
];

/** Returns the lines of the screen. */
export function demoScreen(shown: Shown, paint: Paint): string[] {
  const problems = problemsOf(shown);
  return [
    '',
    ...(problems.length === 0 ? [paint('green', success(shown))] : listed(problems, paint)),
    '',
    ...table(shown, paint),
    ...dropLines(shown.drops),
    '',
    `${shown.nodes} network namespaces stood for nodes. The links between them had no offloads,`,
    `as a small board's network card. All shared the ${shown.cores} core${shown.cores === 1 ? '' : 's'} of this machine.`,
    ...(shown.kernel === undefined ? [`This kernel (${shown.release}) has no vxlan to compare with.`] : []),
    '',
    paint('bold', 'Next'),
    ...(problems.length === 0 ? NEXT : NEXT_AFTER_LOSS),
  ].map((line) => (line === '' ? '' : `  ${line}`));
}

/** Returns whether every ping was answered: the demo then exits with 0. */
export function worked({ weft }: Shown): boolean {
  return weft.pings.every((one) => one.received === one.sent);
}

function success(shown: Shown): string {
  const { sent } = totals(shown.weft);
  return `Weft works here: ${sent} of ${sent} pings answered, ${shown.streams.length} TCP streams, ${shown.nodes} nodes, ${shown.pods} pods.`;
}

function totals({ pings }: Result): { sent: number; received: number } {
  const sum = (key: 'sent' | 'received') => pings.reduce((total, one) => total + one[key], 0);
  return { sent: sum('sent'), received: sum('received') };
}

function problemsOf(shown: Shown): string[] {
  return shown.pairs.flatMap(({ name }, index) => {
    const { sent, received } = shown.weft.pings[index];
    return received === sent ? [] : [`${name}: ${received} of ${sent} pings answered`];
  });
}

function listed(problems: readonly string[], paint: Paint): string[] {
  const more = problems.length - MAX_PROBLEMS;
  const heading = `Weft lost pings between ${problems.length} pair${problems.length === 1 ? '' : 's'} of pods:`;
  return [
    paint('red', heading),
    ...problems.slice(0, MAX_PROBLEMS).map((problem) => `  ${problem}`),
    ...(more > 0 ? [`  and ${more} more`] : []),
  ];
}

/** Returns the counters that are not zero, as far as one line has room. */
function dropLines(drops: Shown['drops']): string[] {
  const counted = Object.entries(drops)
    .filter(([, count]) => count > 0)
    .sort(([, a], [, b]) => b - a);
  if (counted.length === 0) return [];
  const text = `Drops: ${counted.map(([name, count]) => `${name} ${count}`).join(', ')}`;
  return ['', text.length <= MAX_DROPS ? text : `${text.slice(0, MAX_DROPS - 1)}…`];
}
const MAX_DROPS = 78;

function table(shown: Shown, paint: Paint): string[] {
  const { weft, kernel, pairs, streams } = shown;
  const columns: Column[] = [
    { title: '' },
    { title: `Weft (${shown.level})`, right: true },
    ...(kernel === undefined
      ? []
      : [
          { title: 'kernel vxlan', right: true },
          { title: 'Weft / kernel', right: true },
        ]),
  ];
  const row = (title: string, digits: number, value: (result: Result) => number): string[] => {
    const ours = value(weft);
    if (kernel === undefined) return [title, fixed(ours, digits)];
    const theirs = value(kernel);
    return [title, fixed(ours, digits), fixed(theirs, digits), fixed(ours / theirs, 2)];
  };
  const pingOf = (sameNode: boolean) => (result: Result) =>
    mean(result.pings.filter((_, index) => pairs[index].sameNode === sameNode).map((one) => one.avg));
  const [heading = '', ...rows] = textTable(columns, [
    row('ping between nodes, mean ms', 3, pingOf(false)),
    row('ping within a node, mean ms', 3, pingOf(true)),
    ...streams.map((name, index) => row(`TCP ${name}, Gbit/s`, 2, (result) => result.gbits[index])),
  ]);
  return [paint('bold', heading), ...rows];
}

function fixed(value: number, digits: number): string {
  return Number.isNaN(value) ? '–' : value.toFixed(digits);
}

/** Returns the mean of the numbers; a ping without any reply has no time. */
function mean(values: readonly number[]): number {
  const known = values.filter((value) => !Number.isNaN(value));
  return known.reduce((sum, value) => sum + value, 0) / known.length;
}
