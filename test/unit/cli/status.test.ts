import t from 'tap';
import { formatStatus } from '../../../src/cli/status.js';
import { age, bytes, short, table } from '../../../src/cli/text.js';
import type { PeerStatus } from '../../../src/control/backends/backend.js';
import { brief } from '../../../src/control/node/brief.js';
import type { Status } from '../../../src/control/node/status.js';
import { ALL_COUNTERS, DROP_COUNTERS } from '../../support/counters.js';
import { schemaErrors } from '../../support/status-schema.js';

/** Fields of a peer that was heard and then fell silent. */
const SILENT = {
  state: 'silent',
  silentSince: '2026-11-21T14:28:35.123Z',
  heardAgeSeconds: 754,
} as const;
/** Fields of a peer that has no packets. */
const UNUSED = {
  txPackets: 0,
  txBytes: 0,
  rxPackets: 0,
  rxBytes: 0,
  state: 'unused',
  heardAgeSeconds: null,
  sentAgeSeconds: null,
} as const;

function peer(index: number, fields: Partial<PeerStatus> = {}): PeerStatus {
  return {
    subnet: `10.244.${index}.0/24`,
    publicIP: `192.168.77.${index}`,
    vtepMAC: '02:00:00:00:00:02',
    neighbour: true,
    fdb: true,
    route: true,
    txPackets: 3,
    txBytes: 300,
    rxPackets: 2,
    rxBytes: 200,
    state: 'reachable',
    heardAgeSeconds: 1,
    sentAgeSeconds: 0,
    lastDrop: null,
    path: 'userspace',
    ...fields,
  };
}

const NO_FAST_PATH = {
  on: false,
  attached: null,
  reason: 'switched off by --offload gso',
  chosen: true,
};

const STATUS: Status = {
  version: '0.1.0',
  pid: 4711,
  uptimeSeconds: 3661,
  notReady: null,
  backend: { type: 'vxlan', vni: 1, port: 8472 },
  device: { name: 'flannel.1', mac: '02:00:00:00:00:01', mtu: 1450, address: '10.244.1.0/32', up: true },
  underlay: { interface: 'eth0', address: '192.168.77.1', publicIP: '192.168.77.1', mtu: 1500, absent: null },
  lease: { subnet: '10.244.1.0/24', publicIP: '192.168.77.1', vtepMAC: '02:00:00:00:00:01' },
  leaseSource: { name: '/etc/weft/leases.json', refused: null, trouble: null, ageSeconds: 754 },
  offload: {
    rung: 'none',
    uso: false,
    fastPath: NO_FAST_PATH,
    nextReason: 'switched off by --offload none',
    transmit: { level: 'none', reason: null },
    receive: { level: 'none', reason: null },
  },
  workers: 1,
  capture: null,
  privileges: { capabilities: ['CAP_NET_ADMIN'], noNewPrivileges: true, threadsWithMore: 0, problems: [] },
  obstacles: [],
  peerCheck: 'strict',
  peers: [peer(2), peer(103, { ...UNUSED, path: 'direct', direct: true })],
  repairs: {},
  learned: null,
  counters: { tx_packets: 123456, tx_bytes: 12_345_678, rx_packets: 1, rx_bytes: 100, tx_drop_runt: 0 },
};

const WIDE = (text: string) => text.split('\n').filter((line) => line.length > 80);

t.test('formatStatus prints a healthy node', async (t) => {
  t.equal(
    formatStatus(STATUS),
    `weft 0.1.0, pid 4711, up 01:01:01

node
  backend     vxlan, VNI 1, UDP port 8472
  device      flannel.1 up, 10.244.1.0/32, 02:00:00:00:00:01, MTU 1450
  underlay    eth0, 192.168.77.1, MTU 1500
  subnet      10.244.1.0/24
  leases      /etc/weft/leases.json, 12m old
  offload     level none, 1 worker; not gso: switched off by --offload none
  privileges  CAP_NET_ADMIN, no new privileges
  peer check  strict

traffic
  sent      123456 packets, 12 MB
  received  1 packet, 100 B

peers (2)
  1 reachable, 1 direct
  SUBNET           PUBLIC IP       HEARD  SENT   RECEIVED  PATH
  10.244.2.0/24    192.168.77.2    1s     3/300  2/200     userspace
  10.244.103.0/24  192.168.77.103  -      0/0    0/0       direct
`,
  );
});

t.test('formatStatus prints problems first: obstacles, then peers, with what is known of each', async (t) => {
  const peers = [
    ...STATUS.peers,
    peer(4, SILENT),
    peer(5, { ...UNUSED, state: 'neverHeard', txPackets: 12, txBytes: 1200, sentAgeSeconds: 0 }),
    peer(6, { neighbour: false, route: false }),
    peer(7, { lastDrop: { reason: 'rx_drop_wrong_source_mac', ageSeconds: 3 }, path: 'bpf' }),
    peer(8, { lastDrop: { reason: 'rx_drop_ecn', ageSeconds: 7200 }, path: 'bpf' }),
  ];
  const fastPath = { on: true, attached: 'tcx', reason: null, chosen: false };
  const text = formatStatus({
    ...STATUS,
    notReady: 'waiting for the underlay: eth0 is down',
    obstacles: ['ip_forward is 0; run sysctl -w x=1; and keep it'],
    offload: { ...STATUS.offload, rung: 'bpf', nextReason: null, fastPath },
    repairs: { route: 2, mac: 1 },
    peers,
    counters: { ...STATUS.counters, fast_tx_packets: 61_728, tx_drop_multicast: 7, rx_drop_ecn: 1234 },
  });
  t.equal(
    text,
    `weft 0.1.0, pid 4711, up 01:01:01
NOT READY: waiting for the underlay: eth0 is down

obstacles (1)
  - ip_forward is 0
      run sysctl -w x=1; and keep it

peers with problems (4)
  10.244.4.0/24 at 192.168.77.4: silent since 2026-11-21T14:28:35Z
      sent 3 packets, 300 B; received 2 packets, 200 B
      last heard 12m ago; path userspace
  10.244.5.0/24 at 192.168.77.5: never heard
      sent 12 packets, 1.2 kB; received 0 packets, 0 B
      last heard never; path userspace
  10.244.6.0/24 at 192.168.77.6: reachable
      sent 3 packets, 300 B; received 2 packets, 200 B
      last heard 1s ago; path userspace
      MISSING: neighbour, route
  10.244.7.0/24 at 192.168.77.7: reachable
      sent 3 packets, 300 B; received 2 packets, 200 B
      last heard 1s ago; path bpf
      last drop 3s ago: rx_drop_wrong_source_mac
  weft doctor --peers finds out which of them answer

node
  backend     vxlan, VNI 1, UDP port 8472
  device      flannel.1 up, 10.244.1.0/32, 02:00:00:00:00:01, MTU 1450
  underlay    eth0, 192.168.77.1, MTU 1500
  subnet      10.244.1.0/24
  leases      /etc/weft/leases.json, 12m old
  offload     level bpf, 1 worker; attached by tcx
  privileges  CAP_NET_ADMIN, no new privileges
  peer check  strict
  repaired    2 x route, 1 x mac

traffic
  sent      123456 packets, 12 MB, 50 % by bpf
  received  1 packet, 100 B

drops (2)
  tx_drop_multicast  7
      normal: multicast, such as the kernel's own IPv6 messages
  rx_drop_ecn        1234
      the underlay is congested, and the sender does not support ECN

peers (7)
  1 silent, 1 never heard, 4 reachable, 1 direct
  SUBNET           PUBLIC IP       HEARD  SENT   RECEIVED  PATH
  10.244.2.0/24    192.168.77.2    1s     3/300  2/200     userspace
  10.244.103.0/24  192.168.77.103  -      0/0    0/0       direct
  10.244.8.0/24    192.168.77.8    1s     3/300  2/200     bpf
      last drop 2h ago: rx_drop_ecn
`,
  );
  t.same(WIDE(text), []);
});

t.test(
  'formatStatus lists of very many peers only those with problems, unless all are asked for',
  async (t) => {
    const peers = Array.from({ length: 1000 }, (_, index) =>
      peer(index % 250, { subnet: `10.${index >> 8}.${index & 255}.0/24`, ...(index === 700 && SILENT) }),
    );
    const text = formatStatus({ ...STATUS, peers });
    t.match(text, /^\npeers with problems \(1\)\n {2}10\.2\.188\.0\/24 at [^]*/m);
    t.match(
      text,
      '\npeers (1000)\n  1 silent, 999 reachable\n  999 peers without a problem (--all lists them)\n',
    );
    t.ok(text.split('\n').length < 40);
    const all = formatStatus({ ...STATUS, peers }, true);
    t.equal(all.match(/^ {2}10\.\d+\.\d+\.0\/24 /gm)?.length, 1000);
    t.match(all, '\ncounters\n  tx_packets      123456\n');
  },
);

t.test('formatStatus prints the same of a brief answer as of the whole one', async (t) => {
  const some = (length: number, fields: (index: number) => Partial<PeerStatus>) =>
    Array.from({ length }, (_, index) =>
      peer(index % 250, { subnet: `10.1.${index}.0/24`, ...fields(index) }),
    );
  const mixed = (index: number) =>
    [{}, SILENT, UNUSED, { route: false }, { ...UNUSED, direct: true as const }][index % 5] ?? {};
  const { device, underlay, lease, offload, peerCheck, repairs, learned, counters } = STATUS;
  const family = { device, underlay, lease, offload, peerCheck, repairs, learned, counters };
  for (const peers of [some(50, mixed), some(51, mixed), some(1000, mixed), some(1000, () => ({}))]) {
    for (const status of [
      { ...STATUS, peers },
      { ...STATUS, peers, ipv6: { ...family, peers: some(300, mixed) } },
    ]) {
      const answer = brief(status);
      t.equal(formatStatus(answer), formatStatus(status));
      t.ok('peers' in answer && answer.peers.length <= 50);
    }
  }
  const { version, pid, uptimeSeconds } = STATUS;
  const starting = { version, pid, uptimeSeconds, notReady: 'starting' };
  t.equal(brief(starting), starting);
});

t.test('formatStatus lists fifty peers with problems, and the number of the others', async (t) => {
  const peers = Array.from({ length: 120 }, (_, index) => peer(index, SILENT));
  const text = formatStatus({ ...STATUS, peers });
  t.match(text, '\npeers with problems (120)\n');
  t.match(text, '\n  10.244.49.0/24 ');
  t.notMatch(text, '\n  10.244.50.0/24 ');
  t.match(text, '  ... and 70 more (--all lists them)\n');
});

t.test('formatStatus prints both families of a dual-stack node, and wraps long IPv6 addresses', async (t) => {
  const six = peer(2, { subnet: 'fd00:10:244:2::/64', publicIP: 'fd00:77::2' });
  const long = peer(3, {
    subnet: 'fd00:1234:5678:9abc::/64',
    publicIP: 'fd00:1234:5678:9abc:def0:1234:5678:9abc',
  });
  const { device, underlay, lease, offload, peerCheck, repairs, learned, counters } = STATUS;
  const family = { device, underlay, lease, offload, peerCheck, repairs, learned, counters };
  const ipv6 = { ...family, device: { ...device, name: 'flannel-v6.1' }, peers: [six] };
  const text = formatStatus({ ...STATUS, ipv6 });
  t.match(text, /\nIPv6\n {2}device +flannel-v6\.1 up/);
  t.match(text, /\n {2}fd00:10:244:2::\/64 {2}fd00:77::2 {2}1s +3\/300 +2\/200 +userspace\n/);
  const wide = formatStatus({ ...STATUS, ipv6: { ...ipv6, peers: [{ ...six, ...SILENT }, long] } });
  t.match(
    wide,
    '\npeers with problems (1)\n  fd00:10:244:2::/64 at fd00:77::2: silent since 2026-11-21T14:28:35Z\n',
  );
  t.match(wide, /\n {2}fd00:1234:5678:9abc::\/64 at fd00:[^]*sent 3 packets, 300 B;/);
  t.same(WIDE(wide), []);
});

t.test('formatStatus prints no VNI and no MACs for backend udp', async (t) => {
  const { vni, ...backend } = { ...STATUS.backend, type: 'udp', port: 8285 };
  const { mac, ...device } = { ...STATUS.device, name: 'flannel0', mtu: 1472 };
  const { vtepMAC, ...lease } = STATUS.lease;
  const { vtepMAC: _, neighbour, fdb, ...present } = peer(2);
  const { vtepMAC: __, neighbour: ___, fdb: ____, ...absent } = peer(103, { route: false });
  const text = formatStatus({ ...STATUS, backend, device, lease, peers: [present, absent] });
  t.match(text, '\n  backend     udp, UDP port 8285\n');
  t.match(text, '\n  device      flannel0 up, 10.244.1.0/32, MTU 1472\n');
  t.match(text, /\n {2}10\.244\.103\.0\/24 at 192\.168\.77\.103: reachable\n[^]*\n {6}MISSING: route\n/);
  t.match(text, /\n {2}10\.244\.2\.0\/24 +192\.168\.77\.2 /);
});

t.test('formatStatus fits on 80 columns with the longest IPv4 addresses, numbers and reasons', async (t) => {
  const most = { txPackets: 123_456_789, txBytes: 1e15, rxPackets: 987_654_321, rxBytes: 9e15 };
  const longest = { subnet: '100.100.100.0/24', publicIP: '192.168.177.103', ...most };
  const text = formatStatus({
    ...STATUS,
    obstacles: [`${'long word '.repeat(20)}; ${'remedy '.repeat(20)}`],
    offload: { ...STATUS.offload, nextReason: 'reason '.repeat(20) },
    privileges: {
      capabilities: ['CAP_NET_ADMIN', 'CAP_PERFMON', 'CAP_BPF'],
      noNewPrivileges: true,
      threadsWithMore: 10,
      problems: [],
    },
    peers: [peer(2, longest), peer(3, { ...longest, ...SILENT })],
    counters: Object.fromEntries(ALL_COUNTERS.map((name) => [name, 123_456_789_012])),
  });
  t.match(text, '\n              10 threads of Node.js itself keep more\n');
  t.same(WIDE(text), []);
});

t.test('formatStatus has advice for every drop counter', async (t) => {
  const text = formatStatus({
    ...STATUS,
    counters: Object.fromEntries(DROP_COUNTERS.map((name) => [name, 1])),
  });
  t.match(text, `\ndrops (${DROP_COUNTERS.length})\n`);
  t.notMatch(text, 'see docs/operations.md');
});

t.test('formatStatus escapes control and format characters of every text', async (t) => {
  const evil = 'x\u001b[2J\n\u202e';
  const text = formatStatus({
    ...STATUS,
    notReady: evil,
    device: { ...STATUS.device, name: evil },
    leaseSource: { name: evil, refused: `refused ${evil}`, trouble: `silent ${evil}`, ageSeconds: 0 },
    obstacles: [evil],
    peers: [peer(2, { subnet: evil })],
    counters: { [`${evil}_drop_`]: 1 },
  });
  t.equal(text.match(/x\\u001b\[2J\\n\\u202e/g)?.length, 8);
  t.notMatch(text, /[^\n -~]/);
});

t.test('formatStatus prints no table without peers', async (t) => {
  t.match(formatStatus({ ...STATUS, peers: [] }), /\npeers \(0\)\n$/);
});

t.test('formatStatus prints learned entries only if learning is on', async (t) => {
  const learned = [
    { mac: '0a:00:00:00:00:01', publicIP: '192.168.77.9', ageSeconds: 0 },
    { mac: '0a:00:00:00:00:02', publicIP: '192.168.77.109', ageSeconds: 299 },
  ];
  t.match(
    formatStatus({ ...STATUS, learned }),
    `
learned (2)
  MAC                PUBLIC IP       SEEN
  0a:00:00:00:00:01  192.168.77.9    0 s ago
  0a:00:00:00:00:02  192.168.77.109  299 s ago
`,
  );
  t.match(formatStatus({ ...STATUS, learned: [] }), /\nlearned \(0\)\n$/);
});

t.test('formatStatus prints problems in capitals', async (t) => {
  t.match(formatStatus({ ...STATUS, device: { ...STATUS.device, up: false } }), 'flannel.1 DOWN, ');
  const leaseSource = { name: 'leases.json', refused: 'leases.json:3: no', trouble: null, ageSeconds: 3 };
  const refused = formatStatus({ ...STATUS, leaseSource });
  t.match(refused, 'up 01:01:01\nLEASES REFUSED: leases.json:3: no\n\nnode\n');
  t.match(refused, '  leases      leases.json, 3s old, newer ones REFUSED\n');
  const etcd = { name: 'etcd', refused: null, trouble: 'connection refused', ageSeconds: 90 };
  const trouble = formatStatus({ ...STATUS, leaseSource: etcd });
  t.match(trouble, 'up 01:01:01\nLEASES NOT FOLLOWED: connection refused\n\nnode\n');
  t.match(trouble, '  leases      etcd, 1m old, NOT FOLLOWED\n');
  const notReady = formatStatus({ ...STATUS, leaseSource: etcd, notReady: 'connection refused' });
  t.match(notReady, 'up 01:01:01\nNOT READY: connection refused\n\nnode\n', 'it is printed once');
});

t.test(
  'formatStatus prints why the level is not the next one, and a direction that uses a lower one',
  async (t) => {
    const gso = { level: 'gso', reason: null };
    const offload = {
      ...{ rung: 'gso', uso: true, fastPath: NO_FAST_PATH, transmit: gso, receive: gso },
      nextReason: 'Learning needs every packet',
    };
    const start = '  offload     level gso, 1 worker; not bpf: Learning needs every packet';
    t.match(formatStatus({ ...STATUS, offload }), `${start}\n`);
    const transmit = { level: 'none', reason: 'the kernel refuses GSO runs (EIO)' };
    t.match(
      formatStatus({ ...STATUS, offload: { ...offload, transmit } }),
      `${start};\n              transmit: single datagrams (the kernel refuses GSO runs (EIO))\n`,
    );
  },
);

t.test('formatStatus prints the plural for several workers', async (t) => {
  t.match(formatStatus({ ...STATUS, workers: 4 }), 'level none, 4 workers; not gso: ');
});

t.test('formatStatus prints the uptime as days and a clock', async (t) => {
  for (const [uptimeSeconds, text] of [
    [0, 'up 00:00:00\n'],
    [86399, 'up 23:59:59\n'],
    [86400, 'up 1 d 00:00:00\n'],
    [10 * 86400 + 3, 'up 10 d 00:00:03\n'],
  ] as const) {
    t.match(formatStatus({ ...STATUS, uptimeSeconds }), text);
  }
});

t.test('short, bytes and age print at most four characters and a unit', async (t) => {
  t.same([0, 999, 1000, 9949, 9950, 999_499, 999_500, 1e15].map(short), [
    ...['0', '999', '1.0k', '9.9k', '10k', '999k', '1.0M', '1.0P'],
  ]);
  t.same([5, 12_345, 2e9].map(bytes), ['5 B', '12 kB', '2.0 GB']);
  t.same([0, 59, 60, 3599, 3600, 86_399, 86_400 * 9].map(age), ['0s', '59s', '1m', '59m', '1h', '23h', '9d']);
});

t.test('table aligns text and addresses left and numbers right', async (t) => {
  t.equal(
    table([
      ['name', '1'],
      ['x', '1234'],
      ['longer name', '10.0.0.1'],
      ['y', '1.5'],
    ]),
    `  name                1
  x                1234
  longer name  10.0.0.1
  y                 1.5
`,
  );
  t.equal(table([]), '');
});

t.test('formatStatus prints why a node is not ready, also before its devices exist', async (t) => {
  const reason = 'waiting for the underlay: eth0 is down';
  const { version, pid, uptimeSeconds } = STATUS;
  t.equal(
    formatStatus({ version, pid, uptimeSeconds, notReady: reason }),
    `weft 0.1.0, pid 4711, up 01:01:01\nNOT READY: ${reason}\n`,
  );
  const underlay = { ...STATUS.underlay, absent: 'eth0 is down' };
  const text = formatStatus({ ...STATUS, notReady: reason, underlay });
  t.match(text, `up 01:01:01\nNOT READY: ${reason}\n\nnode\n  backend `);
  t.match(text, '  underlay    eth0, 192.168.77.1, MTU 1500, ABSENT\n');
});

t.test('formatStatus prints the public IP of a node behind a NAT', async (t) => {
  const underlay = { ...STATUS.underlay, address: '10.0.0.7' };
  t.match(
    formatStatus({ ...STATUS, underlay }),
    '\n  underlay    eth0, 10.0.0.7, public IP 192.168.77.1, MTU 1500\n',
  );
});

t.test('docs/status.schema.json has every key of the status, and no other', async (t) => {
  const { device, underlay, lease, offload, peerCheck, peers, repairs, counters } = STATUS;
  const learned = [{ mac: '0a:00:00:00:00:01', publicIP: '192.168.77.9', ageSeconds: 0 }];
  const ipv6 = { device, underlay, lease, offload, peerCheck, peers, repairs, learned, counters };
  const drop = { reason: 'rx_drop_ecn', ageSeconds: 1 };
  const full = { ...STATUS, ipv6, peers: [...peers, peer(4, { ...SILENT, lastDrop: drop, direct: true })] };
  t.same(schemaErrors(full), []);
  const { version, pid, uptimeSeconds } = STATUS;
  t.same(schemaErrors({ version, pid, uptimeSeconds, notReady: 'starting' }), []);
  t.not(schemaErrors({ ...full, unknown: 1 }).length, 0);
  t.not(schemaErrors({ ...full, peers: [{ ...peer(2), state: 'odd' }] }).length, 0);
  const { workers, ...without } = full;
  t.not(schemaErrors(without).length, 0);
});
