/** The peers in `weft status`: those with problems at length, the others as a table. */

import type { PeerStatus } from '../../control/backends/backend.js';
import { printableValues } from '../../control/support/printable.js';
import { age, bytes, COLUMNS, count, listed, short, table, wrapped } from '../text.js';

/** How many peers are listed without --all. Of more, only those with problems are. */
const LISTED = 50;
/** A drop is a problem of its peer for so long. */
const RECENT_DROP_SECONDS = 60;

const STATES = { silent: 'silent', neverHeard: 'never heard', reachable: 'reachable', unused: 'unused' };

/** Returns the objects of a peer that are missing in kernel or dataplane. */
function missing({ neighbour, fdb, route }: PeerStatus): string {
  return listed(neighbour === false && 'neighbour', fdb === false && 'FDB entry', !route && 'route');
}

function hasProblem(peer: PeerStatus): boolean {
  const { state, lastDrop } = peer;
  if (state === 'silent' || state === 'neverHeard' || missing(peer) !== '') return true;
  return typeof lastDrop?.ageSeconds === 'number' && lastDrop.ageSeconds < RECENT_DROP_SECONDS;
}

/** Returns the section of the peers with problems; empty without any. */
export function problemSection(peers: readonly PeerStatus[], all: boolean): string {
  const troubled = peers.filter(hasProblem);
  if (troubled.length === 0) return '';
  const shown = all ? troubled : troubled.slice(0, LISTED);
  return [
    `\npeers with problems (${troubled.length})\n`,
    ...shown.map((peer) => problemText(printableValues(peer))),
    moreText(troubled.length - shown.length),
  ].join('');
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

function stateText({ state, silentSince }: PeerStatus): string {
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
export function peerSection(peers: readonly PeerStatus[], all: boolean): string {
  const healthy = peers.filter((peer) => !hasProblem(peer));
  const shown = all || peers.length <= LISTED ? healthy.map(printableValues<PeerStatus>) : [];
  const hidden = healthy.length - shown.length;
  return [
    `\npeers (${peers.length})\n`,
    statesText(peers),
    shown.length > 0 && peerTable(shown),
    hidden > 0 && `  ${count(hidden, 'peer')} without a problem (--all lists them)\n`,
  ]
    .filter(Boolean)
    .join('');
}

function statesText(peers: readonly PeerStatus[]): string {
  const states = Object.entries(STATES).map(([state, name]) => {
    const number = peers.filter((peer) => peer.state === state).length;
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
