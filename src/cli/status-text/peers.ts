/** The peers in `weft status`: those with problems at length, the others as a table. */

import type { PeerStatus } from '../../control/backends/backend.js';
import { hasProblem, LISTED, shownState } from '../../control/node/brief.js';
import type { FamilyStatus, ShownState } from '../../control/node/status.js';
import { printableValues } from '../../control/support/printable.js';
import { age, bytes, COLUMNS, count, listed, short, table, wrapped } from '../text.js';

/** The peers of one family, as far as the answer has them. */
type Peers = Pick<FamilyStatus, 'peers' | 'omitted'>;

const STATES: Readonly<Record<ShownState, string>> = {
  silent: 'silent',
  neverHeard: 'never heard',
  reachable: 'reachable',
  direct: 'direct',
  unused: 'unused',
};

/** Returns the objects of a peer that are missing in kernel or dataplane. */
function missing({ neighbour, fdb, route }: PeerStatus): string {
  return listed(neighbour === false && 'neighbour', fdb === false && 'FDB entry', !route && 'route');
}

/** Returns the section of the peers with problems; empty without any. */
export function problemSection(families: readonly Peers[], all: boolean): string {
  const troubled = families.flatMap(({ peers }) => peers.filter(hasProblem));
  if (troubled.length === 0) return '';
  const shown = all ? troubled : troubled.slice(0, LISTED);
  const number = families.reduce((sum, { omitted }) => sum + (omitted?.withProblems ?? 0), troubled.length);
  return [
    `\npeers with problems (${number})\n`,
    ...shown.map((peer) => problemText(printableValues(peer))),
    moreText(number - shown.length),
    troubled.some(isUnheard) && '  weft doctor --peers finds out which of them answer\n',
  ]
    .filter(Boolean)
    .join('');
}

function isUnheard({ state }: PeerStatus): boolean {
  return state === 'silent' || state === 'neverHeard';
}

function moreText(more: number): string {
  return more > 0 ? `  ... and ${more} more (--all lists them)\n` : '';
}

function problemText(peer: PeerStatus): string {
  const absent = missing(peer);
  return [
    wrapped(`${peer.subnet} at ${peer.publicIP}: ${stateText(peer)}`, '  '),
    details(peer),
    absent !== '' && wrapped(`MISSING: ${absent}`, '      '),
    dropText(peer),
  ]
    .filter(Boolean)
    .join('');
}

function stateText(peer: PeerStatus): string {
  const { silentSince } = peer;
  const state = shownState(peer);
  if (state === undefined) return 'the dataplane does not answer';
  const since = state === 'silent' && silentSince ? ` since ${silentSince.replace(/\.\d+Z$/, 'Z')}` : '';
  return STATES[state] + since;
}

/** Returns packets, bytes, last packet heard, and path. */
function details(peer: PeerStatus): string {
  const { txPackets, txBytes = 0, rxPackets = 0, rxBytes = 0, heardAgeSeconds, path } = peer;
  if (txPackets === undefined) return '';
  const heard = typeof heardAgeSeconds === 'number' ? `${age(heardAgeSeconds)} ago` : 'never';
  return [
    wrapped(
      `sent ${count(txPackets, 'packet')}, ${bytes(txBytes)}; received ${count(rxPackets, 'packet')}, ${bytes(rxBytes)}`,
      '      ',
    ),
    wrapped(`last heard ${heard}; path ${path}`, '      '),
  ].join('');
}

function dropText({ lastDrop }: PeerStatus): string {
  if (!lastDrop) return '';
  return wrapped(`last drop ${age(lastDrop.ageSeconds)} ago: ${lastDrop.reason}`, '      ');
}

/** Returns the section of all peers: how many have which state, and those without a problem. */
export function peerSection(family: Peers, all: boolean): string {
  const { peers, omitted } = family;
  const number = peers.length + (omitted?.number ?? 0);
  const healthy = peers.filter((peer) => !hasProblem(peer));
  const shown = all || number <= LISTED ? healthy.map(printableValues<PeerStatus>) : [];
  const hidden = healthy.length - shown.length + (omitted?.number ?? 0) - (omitted?.withProblems ?? 0);
  return [
    `\npeers (${number})\n`,
    statesText(family),
    shown.length > 0 && peerTable(shown),
    hidden > 0 && `  ${count(hidden, 'peer')} without a problem (--all lists them)\n`,
  ]
    .filter(Boolean)
    .join('');
}

function statesText({ peers, omitted }: Peers): string {
  const states = Object.entries(STATES).map(([state, name]) => {
    const left = omitted?.states[state as ShownState] ?? 0;
    const number = peers.reduce((sum, peer) => sum + (shownState(peer) === state ? 1 : 0), left);
    return number > 0 && `${number} ${name}`;
  });
  const text = listed(...states);
  return text === '' ? '' : `  ${text}\n`;
}

const COLUMN_TITLES = ['SUBNET', 'PUBLIC IP', 'HEARD', 'SENT', 'RECEIVED', 'PATH'];

function cells(peer: PeerStatus): string[] {
  const {
    subnet,
    publicIP,
    heardAgeSeconds,
    txPackets,
    txBytes = 0,
    rxPackets = 0,
    rxBytes = 0,
    path,
  } = peer;
  return [
    subnet,
    publicIP,
    typeof heardAgeSeconds === 'number' ? age(heardAgeSeconds) : '-',
    txPackets === undefined ? '' : `${short(txPackets)}/${short(txBytes)}`,
    txPackets === undefined ? '' : `${short(rxPackets)}/${short(rxBytes)}`,
    path ?? '',
  ];
}

/** Returns a table, or a block per peer where IPv6 addresses are too long for it. */
function peerTable(peers: readonly PeerStatus[]): string {
  const lines = table([COLUMN_TITLES, ...peers.map(cells)]).split('\n');
  if (lines.some((line) => line.length > COLUMNS)) return peers.map(problemText).join('');
  const [titles = '', ...rest] = lines;
  // The last drop has no column: few peers have one.
  return `${titles}\n${peers.map((peer, index) => `${rest[index]}\n${dropText(peer)}`).join('')}`;
}
