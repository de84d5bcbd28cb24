/** `weft status`: prints the status of the running Weft process, as tables or JSON. */

import type { PeerStatus } from '../control/backends/backend.js';
import { ask } from '../control/ipc/client.js';
import type { FamilyStatus, StartingStatus, Status } from '../control/node/status.js';
import { printableLines, printableValues } from '../control/support/printable.js';
import { UserError } from '../control/support/user-error.js';

/** How many peers the table shows; --json prints all. */
const SHOWN_PEERS = 50;

export async function printStatus(runDir: string, json: boolean): Promise<void> {
  const status = (await ask(runDir, { command: 'status' })) as Status | StartingStatus;
  process.stdout.write(
    json ? `${printableLines(JSON.stringify(status, null, 2))}\n` : formatted(status, runDir),
  );
}

/** Formats an answer. @throws UserError for one of another form */
function formatted(status: Status | StartingStatus, runDir: string): string {
  try {
    return formatStatus(status);
  } catch {
    throw new UserError(
      `--run-dir ${runDir}: the running Weft gives an answer that this one does not know; use the same version, or weft status --json`,
    );
  }
}

/** Formats rows as aligned columns, with numbers on the right. */
export function table(rows: readonly (readonly string[])[]): string {
  const widths = (rows[0] ?? []).map((_, column) =>
    Math.max(...rows.map((row) => (row[column] ?? '').length)),
  );
  return rows
    .map((row) =>
      row
        .map((cell, column) => {
          const width = widths[column] ?? 0;
          return /^[\d.]+$/.test(cell) && !/\..*\./.test(cell) ? cell.padStart(width) : cell.padEnd(width);
        })
        .join('  ')
        .trimEnd(),
    )
    .map((line) => `  ${line}\n`)
    .join('');
}

function duration(seconds: number): string {
  const days = Math.floor(seconds / 86400);
  const clock = new Date((seconds % 86400) * 1000).toISOString().slice(11, 19);
  return days > 0 ? `${days} d ${clock}` : clock;
}

function presence(present: boolean): string {
  return present ? 'yes' : 'MISSING';
}

/** Joins the parts that are present. */
function listed(...parts: readonly (string | false | undefined)[]): string {
  return parts.filter(Boolean).join(', ');
}

/** Whether a packet of the peer arrived; `never` if packets were sent to it. */
function heard({ txPackets = 0, rxPackets = 0 }: PeerStatus): string {
  if (rxPackets > 0) return 'yes';
  return txPackets > 0 ? 'never' : '-';
}

type PeerCell = (peer: PeerStatus) => string;

/** The columns of the peer table for each backend type. */
const UDP_COLUMNS: [title: string, cell: PeerCell][] = [
  ['SUBNET', (peer) => peer.subnet],
  ['PUBLIC IP', (peer) => peer.publicIP],
  ['ROUTE', (peer) => presence(peer.route)],
  ['HEARD', heard],
];
const VXLAN_COLUMNS: [title: string, cell: PeerCell][] = [
  ...UDP_COLUMNS.slice(0, 2),
  ['VTEP MAC', (peer) => peer.vtepMAC ?? ''],
  ['NEIGH', (peer) => presence(peer.neighbour === true)],
  ['FDB', (peer) => presence(peer.fdb === true)],
  ...UDP_COLUMNS.slice(2),
];

function peerTable(type: string, peers: readonly PeerStatus[]): string {
  const columns = type === 'udp' ? UDP_COLUMNS : VXLAN_COLUMNS;
  return table([
    columns.map(([title]) => title),
    ...peers.map((peer) => columns.map(([, cell]) => cell(peer))),
  ]);
}

/** Formats the whole status. Its texts come from leases, devices and servers, and are made printable. */
export function formatStatus(answer: Status | StartingStatus): string {
  const status = printableValues(answer);
  const head = `weft ${status.version}, pid ${status.pid}, up ${duration(status.uptimeSeconds)}\n`;
  const notReady = status.notReady === null ? '' : `NOT READY: ${status.notReady}\n`;
  return `${head}${notReady}${'backend' in status ? formatRunning(status) : ''}`;
}

function formatRunning(status: Status): string {
  const { backend, leaseSource, workers, ipv6 } = status;
  const { name, refused } = leaseSource;
  const vni = backend.vni !== undefined && `VNI ${backend.vni}`;
  return [
    table([
      ['backend', listed(backend.type, vni, `UDP port ${backend.port}`)],
      ...deviceRows(status),
      [
        'leases',
        listed(
          name,
          // A file names itself in the reason.
          refused !== null && `REFUSED: ${refused.replace(`${name}: `, '')}`,
          leaseSource.trouble !== null && `NOT FOLLOWED: ${leaseSource.trouble}`,
        ),
      ],
      ['offload', offloadText(status.offload, workers)],
      ...privilegesRows(status.privileges),
      ...captureRows(status.capture),
      ...checkRows(status),
    ]),
    ...obstacleSection(status),
    ...familySections(backend.type, status),
    ...(ipv6 === undefined
      ? []
      : [
          '\nIPv6\n',
          table([...deviceRows(ipv6), ['offload', offloadText(ipv6.offload, workers)], ...checkRows(ipv6)]),
          ...familySections(backend.type, ipv6),
        ]),
  ].join('');
}

/** Returns the level and the workers, and each direction that uses a lower level. */
function offloadText(offload: Status['offload'], workers: number): string {
  const { transmit, receive } = offload;
  const lowered = [
    transmit.reason !== null && `transmit: single datagrams (${transmit.reason})`,
    receive.reason !== null && `receive: single packets (${receive.reason})`,
  ];
  const { on, attached, reason, chosen } = offload.fastPath;
  const used = listed(`level ${offload.rung}`, `${workers} ${workers === 1 ? 'worker' : 'workers'}`);
  // An operator who chose it needs no reason.
  const fastPath = on ? `attached by ${attached}` : !chosen && `no fast path: ${reason}`;
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
    threadsWithMore > 0 && `${threadsWithMore} threads of Node.js have more`,
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
    ['capture', listed(`of ${whose}`, `for ${duration(seconds)}`, `${packets} packets`, `${missed} missed`)],
  ];
}

function obstacleSection({ obstacles }: Status): string[] {
  if (obstacles.length === 0) return [];
  return [`\nobstacles (${obstacles.length})\n`, ...obstacles.map(obstacleText)];
}

/** Returns the obstacle and its remedy on lines of their own. */
function obstacleText(obstacle: string): string {
  const end = obstacle.indexOf('; ');
  if (end < 0) return `  - ${obstacle}\n`;
  return `  - ${obstacle.slice(0, end)}\n      ${obstacle.slice(end + 2)}\n`;
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

/** Formats peers, learned entries and counters. */
function familySections(type: string, { peers, learned, counters }: FamilyStatus): string[] {
  const sections = [`\npeers (${peers.length})\n`];
  if (peers.length > 0) sections.push(peerTable(type, peers.slice(0, SHOWN_PEERS)));
  if (peers.length > SHOWN_PEERS)
    sections.push(`  ... and ${peers.length - SHOWN_PEERS} more (--json prints all)\n`);
  if (learned !== null) {
    sections.push(`\nlearned (${learned.length})\n`);
    const shown = learned
      .slice(0, SHOWN_PEERS)
      .map((entry) => [entry.mac, entry.publicIP, `${entry.ageSeconds} s ago`]);
    if (shown.length > 0) sections.push(table([['MAC', 'PUBLIC IP', 'SEEN'], ...shown]));
  }
  sections.push(
    '\ncounters\n',
    table(Object.entries(counters).map(([name, value]) => [name, String(value)])),
  );
  return sections;
}
