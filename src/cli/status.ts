/** `weft status`: prints the status of the running Weft process, as tables or JSON. */

import { ask } from '../control/ipc/client.js';
import type { FamilyStatus, StartingStatus, Status } from '../control/node/status.js';
import { printableLines, printableValues } from '../control/support/printable.js';
import { UserError } from '../control/support/user-error.js';
import { dropLines } from './status-text/drops.js';
import { peerSection, problemSection } from './status-text/peers.js';
import { age, bytes, clock, count, listed, rows, splitObstacle, table, wrapped } from './text.js';

/** How many learned entries are shown without --all. */
const SHOWN_LEARNED = 50;

export async function printStatus(
  runDir: string,
  { json, all }: { json: boolean; all: boolean },
): Promise<void> {
  const isBrief = !json && !all;
  const status = (await ask(runDir, { command: 'status', ...(isBrief && { brief: true }) })) as
    | Status
    | StartingStatus;
  process.stdout.write(
    json ? `${printableLines(JSON.stringify(status, null, 2))}\n` : formatted(status, runDir, all),
  );
}

/** Formats an answer. @throws UserError for one of another form */
function formatted(status: Status | StartingStatus, runDir: string, all: boolean): string {
  try {
    return formatStatus(status, all);
  } catch {
    throw new UserError(
      `--run-dir ${runDir}: the running Weft gives an answer that this one does not know; use the same version, or weft status --json`,
    );
  }
}

/**
 * Formats the whole status, problems first. Its texts come from leases, devices and servers, and are made printable. With
 * `all` it lists every peer and every counter.
 */
export function formatStatus(answer: Status | StartingStatus, all = false): string {
  const status = printableNode(answer);
  const head = `weft ${status.version}, pid ${status.pid}, up ${clock(status.uptimeSeconds)}\n`;
  const notReady = status.notReady === null ? '' : wrapped(status.notReady, 'NOT READY: ');
  return `${head}${notReady}${'backend' in status ? leaseProblems(status) + formatRunning(status, all) : ''}`;
}

/** Returns what is wrong with the leases, unless it is why the node is not ready. */
function leaseProblems({ leaseSource, notReady }: Status): string {
  const text = (reason: string | null, first: string): string =>
    reason === null || reason === notReady ? '' : wrapped(reason, first);
  return text(leaseSource.refused, 'LEASES REFUSED: ') + text(leaseSource.trouble, 'LEASES NOT FOLLOWED: ');
}

/** Makes the texts printable, except those of peers: few of thousands are shown. */
function printableNode(answer: Status | StartingStatus): Status | StartingStatus {
  if (!('backend' in answer)) return printableValues(answer);
  const { peers, ipv6, ...node } = answer;
  if (ipv6 === undefined) return { ...printableValues(node), peers };
  const { peers: peers6, ...node6 } = ipv6;
  return { ...printableValues(node), peers, ipv6: { ...printableValues(node6), peers: peers6 } };
}

function formatRunning(status: Status, all: boolean): string {
  const { backend, workers, ipv6 } = status;
  const vni = backend.vni !== undefined && `VNI ${backend.vni}`;
  return [
    obstacleSection(status),
    problemSection([status, ...(ipv6 === undefined ? [] : [ipv6])], all),
    '\nnode\n',
    rows([
      ['backend', listed(backend.type, vni, `UDP port ${backend.port}`)],
      ...deviceRows(status),
      ['leases', leasesText(status.leaseSource)],
      ['offload', offloadText(status.offload, workers)],
      ...privilegesRows(status.privileges),
      ...captureRows(status.capture),
      ...checkRows(status),
    ]),
    ...familySections(status, all),
    ...(ipv6 === undefined
      ? []
      : [
          '\nIPv6\n',
          rows([...deviceRows(ipv6), ['offload', offloadText(ipv6.offload, workers)], ...checkRows(ipv6)]),
          ...familySections(ipv6, all),
        ]),
  ].join('');
}

/** Returns the source of the leases, their age, and whether newer ones are missing. */
function leasesText(source: Status['leaseSource']): string {
  const { name, refused, ageSeconds } = source;
  return listed(
    name,
    // An older Weft does not state it.
    ageSeconds !== undefined && `${age(ageSeconds)} old`,
    refused !== null && 'newer ones REFUSED',
    source.trouble !== null && 'NOT FOLLOWED',
  );
}

/** Returns the level and the workers, and each direction that uses a lower level. */
function offloadText(offload: Status['offload'], workers: number): string {
  const { transmit, receive } = offload;
  const lowered = [
    transmit.reason !== null && `transmit: single datagrams (${transmit.reason})`,
    receive.reason !== null && `receive: single packets (${receive.reason})`,
  ];
  const { on, attached, reason } = offload.fastPath;
  const used = listed(`level ${offload.rung}`, count(workers, 'worker'));
  const next = offload.rung === 'none' ? 'gso' : 'bpf';
  const fastPath = on ? `attached by ${attached}` : `not ${next}: ${offload.nextReason ?? reason}`;
  return [used, fastPath, ...lowered].filter(Boolean).join('; ');
}

/** Returns the capabilities, and below them what was not dropped: one line would not fit on 80 columns. */
function privilegesRows(privileges: Status['privileges']): string[][] {
  const { capabilities, noNewPrivileges, threadsWithMore, problems } = privileges;
  const held = listed(
    capabilities.length === 0 ? 'no capabilities' : capabilities.join(' '),
    noNewPrivileges ? 'no new privileges' : 'NEW PRIVILEGES POSSIBLE',
  );
  const more = listed(
    threadsWithMore > 0 && `${threadsWithMore} threads of Node.js itself keep more`,
    problems.length > 0 && `FAILED: ${problems.join(', ')}`,
  );
  return [['privileges', held], ...(more === '' ? [] : [['', more]])];
}

/** Returns what a capture records, if one runs. An older Weft has none. */
function captureRows(capture: Status['capture'] | undefined): string[][] {
  if (capture === null || capture === undefined) return [];
  const { seconds, peers, packets, missed } = capture;
  const whose = peers === null ? 'all peers' : peers.join(' and ');
  return [
    ['capture', listed(`of ${whose}`, `for ${clock(seconds)}`, `${packets} packets`, `${missed} missed`)],
  ];
}

function obstacleSection({ obstacles }: Status): string {
  if (obstacles.length === 0) return '';
  return `\nobstacles (${obstacles.length})\n${obstacles.map(obstacleText).join('')}`;
}

/** Returns the obstacle and its remedy on lines of their own. */
function obstacleText(obstacle: string): string {
  const [what, remedy] = splitObstacle(obstacle);
  return wrapped(what, '  - ') + (remedy === undefined ? '' : wrapped(remedy, '      '));
}

function deviceRows({ device, underlay, lease }: FamilyStatus): string[][] {
  const { name, up, address, mac, mtu } = device;
  return [
    ['device', listed(`${name} ${up ? 'up' : 'DOWN'}`, address, mac, `MTU ${mtu}`)],
    ['underlay', underlayText(underlay)],
    ['subnet', lease.subnet],
  ];
}

/** Returns interface, addresses and MTU. The line NOT READY has the reason of an absence. */
function underlayText({ interface: name, address, publicIP, mtu, absent }: FamilyStatus['underlay']): string {
  const published = address !== publicIP && `public IP ${publicIP}`;
  return listed(name, address, published, `MTU ${mtu}`, absent !== null && 'ABSENT');
}

/** Returns the peer check, and the repairs since the start if there were any: `2 x route, 1 x mac`. */
function checkRows({ peerCheck, repairs }: FamilyStatus): string[][] {
  const repaired = listed(...Object.entries(repairs).map(([kind, count]) => `${count} x ${kind}`));
  return [['peer check', peerCheck], ...(repaired === '' ? [] : [['repaired', repaired]])];
}

/** Formats totals, drops, peers and learned entries; with `all`, every counter. */
function familySections(family: FamilyStatus, all: boolean): string[] {
  const { learned, counters } = family;
  const drops = dropLines(counters);
  return [
    `\ntraffic\n${rows(trafficRows(counters))}`,
    ...(drops.length > 0 ? [`\ndrops (${drops.length})\n`, ...drops] : []),
    peerSection(family, all),
    ...(learned === null ? [] : [learnedSection(learned, all)]),
    ...(all
      ? ['\ncounters\n', table(Object.entries(counters).map(([name, value]) => [name, String(value)]))]
      : []),
  ];
}

/** Returns the totals, and the share of the fast path. */
function trafficRows(counters: FamilyStatus['counters']): string[][] {
  const row = (label: string, direction: 'tx' | 'rx'): string[] => {
    const { [`${direction}_packets`]: packets = 0, [`${direction}_bytes`]: size = 0 } = counters;
    const fast = counters[`fast_${direction}_packets`] ?? 0;
    const share = fast > 0 && `${Math.round((100 * fast) / packets)} % by bpf`;
    return [label, listed(count(packets, 'packet'), bytes(size), share)];
  };
  return [row('sent', 'tx'), row('received', 'rx')];
}

function learnedSection(learned: NonNullable<FamilyStatus['learned']>, all: boolean): string {
  const shown = (all ? learned : learned.slice(0, SHOWN_LEARNED)).map((entry) => [
    entry.mac,
    entry.publicIP,
    `${entry.ageSeconds} s ago`,
  ]);
  const more = learned.length - shown.length;
  return [
    `\nlearned (${learned.length})\n`,
    shown.length > 0 && table([['MAC', 'PUBLIC IP', 'SEEN'], ...shown]),
    more > 0 && `  ... and ${more} more (--all lists them)\n`,
  ]
    .filter(Boolean)
    .join('');
}
