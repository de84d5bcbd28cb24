/** The table of the peers: its columns for a given width, and its rows. */

import { hasRecentDrop } from '../../control/node/brief.js';
import { count } from '../text.js';
import { cut, cutMiddle, type Glyphs, sparkline } from './glyphs.js';
import { KEPT_SAMPLES, type Meter } from './meter.js';
import { quantity, span } from './quantity.js';
import type { Peer, PeerTraffic, Traffic } from './traffic.js';

const RATE = 6;
const STATE = 11;
/** Two sparklines need this width each, or the state becomes a mark. */
const LEAST_TRAIL = 6;
const ADDRESS = 15;
/** The longest text of an IPv6 address. */
const ADDRESS6 = 39;

/** The widths of the columns; a column of width 0 is absent. */
export interface Columns {
  readonly peer: number;
  readonly subnet: number;
  readonly bytes: number;
  readonly packets: number;
  readonly state: number;
}

/** Chooses the columns. `trails`: whether there is a history to draw. */
export function columnsFor(width: number, peers: readonly PeerTraffic[], trails: boolean): Columns {
  const rates = 4 * (1 + RATE) + 1;
  const least = trails ? 2 * (1 + LEAST_TRAIL) : 0;
  const longest = (key: 'publicIP' | 'subnet') =>
    peers.reduce((most, { peer }) => Math.max(most, peer[key].length), ADDRESS);
  const wide = width >= ADDRESS + rates + 1 + STATE + least;
  const state = wide ? STATE : 1;
  const spare = width - rates - 1 - state - least;
  const peer = Math.min(longest('publicIP'), ADDRESS6, Math.max(ADDRESS, spare));
  const subnet = longest('subnet');
  // The subnet comes after sparklines of twice their least width.
  const hasSubnet = wide && spare - peer >= 1 + subnet + least;
  const room = width - rates - 1 - state - peer - (hasSubnet ? 1 + subnet : 0);
  const trail = Math.min(KEPT_SAMPLES, Math.floor(room / 2) - 1);
  return {
    peer,
    subnet: hasSubnet ? subnet : 0,
    ...trailsIn(trails ? room : 0, trail),
    state,
  };
}

/** Returns the widths of the sparklines: two, one where two would be too short, or none. */
function trailsIn(room: number, both: number): { bytes: number; packets: number } {
  if (both >= LEAST_TRAIL) return { bytes: both, packets: both };
  return { bytes: room > LEAST_TRAIL ? room - 1 : 0, packets: 0 };
}

interface Cells {
  readonly peer: string;
  readonly subnet?: string;
  readonly bits: readonly [tx: string, rx: string];
  readonly bitTrail?: string;
  readonly rates: readonly [tx: string, rx: string];
  readonly trail?: string;
  readonly state: string;
}

function row(columns: Columns, { peer, subnet = '', bits, bitTrail = '', rates, trail = '', state }: Cells) {
  const optional = (text: string, width: number) => (width === 0 ? [] : [text.padEnd(width)]);
  return [
    peer.padEnd(columns.peer),
    ...optional(subnet, columns.subnet),
    ...bits.map((cell) => cell.padStart(RATE)),
    ...optional(bitTrail, columns.bytes),
    ` ${rates[0].padStart(RATE)}`,
    rates[1].padStart(RATE),
    ...optional(trail, columns.packets),
    state,
  ]
    .join(' ')
    .trimEnd();
}

/** Returns the two lines of the heading. */
export function heading(columns: Columns): string[] {
  const { peer, subnet, bytes, state } = columns;
  const before = peer + (subnet === 0 ? 0 : 1 + subnet) + 1;
  const middle = before + 2 * (RATE + 1) + (bytes === 0 ? 0 : bytes + 1) + 1;
  return [
    `${' '.repeat(before)}${'bit/s'.padStart(2 * RATE + 1)}`.padEnd(middle) +
      'packets/s'.padStart(2 * RATE + 1),
    row(columns, {
      peer: 'PEER',
      subnet: 'SUBNET',
      bits: ['tx', 'rx'],
      rates: ['tx', 'rx'],
      state: state < STATE ? '' : 'STATE',
    }),
  ];
}

/** Returns the rates of a meter as cells. */
function cellsOf(columns: Columns, meter: Meter, glyphs: Glyphs) {
  const bits = (bytes: number | undefined) => quantity(bytes === undefined ? undefined : bytes * 8);
  return {
    bits: [bits(meter.txBytes.value), bits(meter.rxBytes.value)],
    bitTrail: sparkline(meter.bytes.history, columns.bytes, glyphs),
    rates: [quantity(meter.txPackets.value), quantity(meter.rxPackets.value)],
    trail: sparkline(meter.packets.history, columns.packets, glyphs),
  } as const;
}

/** Returns the row of all traffic. */
export function totalRow(columns: Columns, { total, peers }: Traffic, glyphs: Glyphs): string {
  const state = columns.state < STATE ? '' : count(peers.length, 'peer');
  return row(columns, { peer: 'total', ...cellsOf(columns, total, glyphs), state });
}

/** Returns the row of all dropped packets. */
export function dropsRow(columns: Columns, traffic: Traffic, glyphs: Glyphs): string {
  return row(columns, {
    peer: 'drops',
    bits: ['', ''],
    rates: [quantity(traffic.txDrops.value), quantity(traffic.rxDrops.value)],
    trail: sparkline(traffic.dropTrail.history, columns.packets, glyphs),
    state: '',
  });
}

export function peerRow(columns: Columns, traffic: PeerTraffic, glyphs: Glyphs): string {
  const { publicIP, subnet } = traffic.peer;
  const state = stateOf(traffic.peer);
  return row(columns, {
    peer: cutMiddle(publicIP, columns.peer, glyphs),
    subnet: cut(subnet, columns.subnet, glyphs),
    ...cellsOf(columns, traffic, glyphs),
    state: columns.state < STATE ? (isProblem(traffic.peer) ? '!' : '') : state,
  });
}

/** What the states of a peer are called on the screen; docs/top.md explains them. */
const STATES: Readonly<Record<string, string>> = {
  reachable: 'reachable',
  silent: 'silent',
  neverHeard: 'never heard',
  unused: '-',
};

/** Returns what is missing in the kernel, or whether the peer is heard. */
function stateOf({
  neighbour = true,
  fdb = true,
  route,
  direct,
  state,
  heardAgeSeconds,
  ...peer
}: Peer): string {
  if (!route) return 'NO ROUTE';
  if (!neighbour) return 'NO NEIGH';
  if (!fdb) return 'NO FDB';
  if (direct === true) return 'direct';
  if (state === 'silent' && typeof heardAgeSeconds === 'number') return `silent ${span(heardAgeSeconds)}`;
  if (state !== 'neverHeard' && hasRecentDrop(peer)) return `drop ${span(peer.lastDrop?.ageSeconds ?? 0)}`;
  if (state !== undefined) return STATES[state] ?? state;
  const { txPackets = 0, rxPackets = 0 } = peer;
  if (rxPackets > 0) return 'heard';
  return txPackets > 0 ? 'never heard' : '-';
}

export function isProblem(peer: Peer): boolean {
  return /^(never|silent|drop|NO )/.test(stateOf(peer));
}
