/** The screen of `weft top` as lines, for a given size. */

import type { FamilyStatus, Status } from '../../control/node/status.js';
import { printable } from '../../control/support/printable.js';
import { broken, clock, count, listed, splitObstacle } from '../text.js';
import { cut, type Glyphs, sparkline } from './glyphs.js';
import { KEPT_SAMPLES } from './meter.js';
import { quantity, span } from './quantity.js';
import { type Columns, columnsFor, dropsRow, heading, isProblem, peerRow, totalRow } from './table.js';
import { type Drop, familiesOf, type PeerTraffic, type Traffic } from './traffic.js';

export type Style = 'plain' | 'strong' | 'bad' | 'faint' | 'bar';

export interface Line {
  readonly text: string;
  readonly style: Style;
}

/** What the screen shows. */
export interface View {
  readonly traffic: Traffic;
  /** Why there is no answer, as a headline and a reason; undefined if there is one. */
  readonly failure: { readonly headline: string; readonly reason: string } | undefined;
  /** The first peer that is shown. */
  readonly first: number;
  /** Whether only peers with a problem are shown. */
  readonly onlyProblems: boolean;
  /** The present time, in milliseconds. */
  readonly now: number;
}

export interface Size {
  readonly columns: number;
  readonly rows: number;
}

/** The columns of the drops. */
const DROP_NAME = 29;
const DROP_WIDTH = 60;

export interface Screen {
  /** As many as the terminal has rows. */
  readonly lines: readonly Line[];
  /** The first peer on the screen: that of the view, unless the list ends before. */
  readonly first: number;
}

/** Lays out the screen: head, table of peers, drops, and keys in the last row. */
export function screen(view: View, { columns, rows }: Size, glyphs: Glyphs): Screen {
  const { traffic } = view;
  const above = [...headLines(view, columns, Math.max(1, Math.floor(rows / 4))), line('')];
  const drops = dropLines(view, columns, glyphs, Math.max(2, Math.floor(rows / 5)));
  const layout = columnsFor(columns, traffic.peers, true);
  const table = tableHead(traffic, layout, glyphs);
  const room = Math.max(1, rows - above.length - table.length - drops.length - 1);
  const problems = traffic.peers.filter(({ peer }) => isProblem(peer));
  const listed = view.onlyProblems ? problems : traffic.peers;
  const first = Math.max(0, Math.min(view.first, listed.length - room));
  const peers = peerLines(listed.slice(first, first + room), layout, glyphs);
  const lines = [...above, ...table, ...peers, ...drops].slice(0, Math.max(0, rows - 1));
  while (lines.length < rows - 1) lines.push(line(''));
  const range = `${first + 1}-${first + peers.length} of ${listed.length}`;
  const shown = peers.length === 0 ? 'no peers' : `peers ${range}`;
  const some = problems.length === 0 ? '' : `, ${problems.length} with a problem (p)`;
  const text = view.onlyProblems ? `${shown} with a problem (p: all)` : `${shown}${some}`;
  const keys = line(` q quit   ${glyphs.arrows} scroll   ${text}`, 'bar');
  return { lines: [...lines, keys].map(fitted(columns, glyphs)), first };
}

/** Returns everything once, without history: for a file or a pipe. */
export function report(view: View, columns: number, glyphs: Glyphs): Line[] {
  const { traffic } = view;
  const layout = columnsFor(columns, traffic.peers, false);
  return [
    ...headLines(view, columns, Number.POSITIVE_INFINITY),
    line(''),
    ...tableHead(traffic, layout, glyphs),
    ...peerLines(traffic.peers, layout, glyphs),
    ...dropLines(view, 0, glyphs, traffic.drops.length),
  ];
}

function line(text: string, style: Style = 'plain'): Line {
  return { text: printable(text), style };
}

/** Returns a text in lines that fit, of which the first one begins with `first`, the others with as many spaces. */
function note(first: string, text: string, columns: number, style: Style = 'plain'): Line[] {
  return broken(printable(text), columns - first.length).map((part, index) => ({
    text: (index === 0 ? first : ' '.repeat(first.length)) + part,
    style,
  }));
}

function fitted(columns: number, glyphs: Glyphs): (whole: Line) => Line {
  return ({ text, style }) => ({ text: cut(text, columns, glyphs), style });
}

/** Returns Weft, its devices, and at most `most` lines about what is wrong or worth knowing. */
function headLines({ traffic: { status }, failure }: View, columns: number, most: number): Line[] {
  if (failure !== undefined) return [line(failure.headline, 'bad'), ...note('', failure.reason, columns)];
  if (status === undefined) return [line('weft: waiting for an answer')];
  const { version, pid, uptimeSeconds, notReady } = status;
  const families = familiesOf(status);
  const [first] = families;
  const workers = 'workers' in status && count(status.workers, 'worker');
  const level = first !== undefined && `level ${first.offload.rung}`;
  const notes = [
    ...(notReady === null ? [] : note('NOT READY: ', notReady, columns, 'bad')),
    ...('backend' in status ? noteLines(status, columns) : []),
  ];
  const shown =
    notes.length > most ? [...notes.slice(0, most - 1), line('more: weft status', 'faint')] : notes;
  return [
    line(listed(`weft ${version}`, `pid ${pid}`, `up ${clock(uptimeSeconds)}`, level, workers), 'strong'),
    ...families.map((family) => line(familyText(family))),
    ...shown,
  ];
}

function familyText({ device, underlay, lease }: FamilyStatus): string {
  const { interface: name, address, mtu, absent } = underlay;
  return listed(
    `${device.name} ${device.up ? 'up' : 'DOWN'}`,
    lease.subnet,
    `MTU ${device.mtu}`,
    `over ${absent === null ? '' : 'ABSENT '}${name} ${address}`,
    `MTU ${mtu}`,
  );
}

/** Returns a line for each problem, and for what Weft repaired. */
function noteLines(status: Status, columns: number): Line[] {
  const { leaseSource, obstacles, offload, notReady } = status;
  const { refused } = leaseSource;
  const isOther = (reason: string | null): reason is string => reason !== null && reason !== notReady;
  const families = familiesOf(status);
  const repaired = families
    .flatMap(({ repairs }) => Object.entries(repairs))
    .map(([kind, count]) => `${count} x ${kind}`);
  const { on, chosen, reason } = offload.fastPath;
  return [
    ...(isOther(refused) ? note('LEASES REFUSED: ', refused, columns, 'bad') : []),
    ...(isOther(leaseSource.trouble)
      ? note('LEASES NOT FOLLOWED: ', leaseSource.trouble, columns, 'bad')
      : []),
    ...obstacles.flatMap((obstacle) => obstacleLines(obstacle, columns)),
    ...(repaired.length === 0 ? [] : note('repaired: ', repaired.join(', '), columns)),
    ...(on || chosen ? [] : note('no fast path: ', reason ?? '', columns, 'faint')),
  ];
}

/** Returns the obstacle and its remedy on lines of their own. */
function obstacleLines(obstacle: string, columns: number): Line[] {
  const [what, remedy] = splitObstacle(obstacle);
  return [
    ...note('obstacle: ', what, columns, 'bad'),
    ...(remedy === undefined ? [] : note('  ', remedy, columns)),
  ];
}

function tableHead(traffic: Traffic, columns: Columns, glyphs: Glyphs): Line[] {
  const dropping = (traffic.txDrops.value ?? 0) + (traffic.rxDrops.value ?? 0) > 0;
  return [
    ...heading(columns).map((text) => line(text, 'faint')),
    line(totalRow(columns, traffic, glyphs), 'strong'),
    line(dropsRow(columns, traffic, glyphs), dropping ? 'bad' : 'plain'),
  ];
}

function peerLines(peers: readonly PeerTraffic[], columns: Columns, glyphs: Glyphs): Line[] {
  return peers.map((peer) => line(peerRow(columns, peer, glyphs), isProblem(peer.peer) ? 'bad' : 'plain'));
}

/** Returns an empty line, a heading, and a line for each drop counter that is not zero; at most `most` of these. */
function dropLines({ traffic, now }: View, columns: number, glyphs: Glyphs, most: number): Line[] {
  const { drops } = traffic;
  if (drops.length === 0) return [];
  const width = Math.min(KEPT_SAMPLES, columns - DROP_WIDTH);
  const name = drops.length > most ? `DROPS, ${most} of ${drops.length}` : 'DROPS';
  const title = [name.padEnd(DROP_NAME), 'per s'.padStart(6), 'in total'.padStart(10), ' last'].join(' ');
  const shown = drops.slice(0, most).map((drop) => dropLine(drop, now, width, glyphs));
  return [line(''), line(title, 'faint'), ...shown];
}

function dropLine(
  { name, rate, total, roseAt, trail }: Drop,
  now: number,
  width: number,
  glyphs: Glyphs,
): Line {
  const rising = rate.rise > 0;
  // A counter that is not zero at the first answer has risen at an unknown time.
  const last = rising ? 'now' : roseAt === undefined ? 'earlier' : `${span((now - roseAt) / 1000)} ago`;
  const text = [
    name.padEnd(DROP_NAME),
    quantity(rate.value).padStart(6),
    String(total).padStart(10),
    ` ${last.padEnd(10)}`,
    sparkline(trail.history, width, glyphs),
  ]
    .join(' ')
    .trimEnd();
  return line(text, rising ? 'bad' : 'plain');
}
