/** What the chart of the speed shows: a few figures of a result, by panel. */

import { short, times } from '../netns/report.js';
import type { Recorded } from '../netns/result.js';

/** One value, and its ratio to the kernel. */
export interface Bar {
  readonly value: number;
  readonly ratio: number | undefined;
}

/** Figures with one unit and one axis. */
export interface Panel {
  readonly title: string;
  readonly categories: readonly string[];
  /** The bars of each peer, in the order of `categories`. */
  readonly bars: ReadonlyMap<string, readonly (Bar | undefined)[]>;
}

interface Wanted {
  readonly title: string;
  readonly mode: string;
  readonly rows: readonly (readonly [label: string, figure: string, metric: string])[];
}

const TCP: Wanted['rows'] = [
  ['1 stream', 'tcp1', 'gbits'],
  ['4 streams', 'tcp4', 'gbits'],
  ['both ways', 'bidir', 'gbits'],
];

const WANTED: readonly Wanted[] = [
  { title: 'TCP, Gbit/s, links without offloads', mode: 'plain', rows: TCP },
  { title: 'TCP, Gbit/s, links with offloads, as in virtual machines', mode: 'virt', rows: TCP },
  {
    title: 'Packets of 64 bytes delivered, thousands a second, without offloads',
    mode: 'plain',
    rows: [['UDP', 'small', 'rate']],
  },
  {
    title: 'Latency one way, µs, without offloads (less is better)',
    mode: 'plain',
    rows: [['median', 'latency', 'p50']],
  },
];

/** The peers in the order of the legend, with their names there. */
const NAMES: Readonly<Record<string, string>> = {
  kernel: "kernel's vxlan",
  'weft@bpf': 'Weft, level bpf',
  'weft@gso': 'Weft, level gso',
  'weft@none': 'Weft, level none',
};

/** Returns the name of a peer in the chart. */
export function nameOf(peer: string): string {
  return NAMES[peer] ?? peer;
}

/** Returns the peers of a result, known ones first. */
export function peersOf(summary: readonly Recorded[]): string[] {
  const found = new Set(summary.map((one) => one.peer));
  const known = Object.keys(NAMES).filter((peer) => found.has(peer));
  return [...known, ...[...found].filter((peer) => !known.includes(peer))];
}

/** Returns the panels for which the result has values. */
export function panelsOf(summary: readonly Recorded[]): Panel[] {
  return WANTED.flatMap(({ title, mode, rows }) => {
    const medianOf = (peer: string, figure: string, metric: string) =>
      summary.find(
        (one) => one.mode === mode && one.figure === figure && one.metric === metric && one.peer === peer,
      )?.median;
    const peers = peersOf(summary);
    const present = rows.filter(([, figure, metric]) =>
      peers.some((peer) => medianOf(peer, figure, metric) !== undefined),
    );
    if (present.length === 0) return [];
    const bars = new Map<string, (Bar | undefined)[]>();
    for (const peer of peers) {
      const ofPeer = present.map(([, figure, metric]): Bar | undefined => {
        const value = medianOf(peer, figure, metric);
        const kernel = medianOf('kernel', figure, metric);
        if (value === undefined) return undefined;
        return { value, ratio: peer === 'kernel' || kernel === undefined ? undefined : value / kernel };
      });
      if (ofPeer.some((bar) => bar !== undefined)) bars.set(peer, ofPeer);
    }
    return [{ title, categories: present.map(([label]) => label), bars }];
  });
}

/** Returns the text at a bar: `5.95 · 0.69×`. */
export function labelOf({ value, ratio }: Bar): string {
  return ratio === undefined ? short(value) : `${short(value)} · ${times(ratio)}`;
}
