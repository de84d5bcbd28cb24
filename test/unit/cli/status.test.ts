import t from 'tap';
import { formatStatus, table } from '../../../src/cli/status.js';
import type { PeerStatus } from '../../../src/control/backends/backend.js';
import type { Status } from '../../../src/control/node/status.js';

function peer(index: number, fields: Partial<PeerStatus> = {}): PeerStatus {
  return {
    subnet: `10.244.${index}.0/24`,
    publicIP: `192.168.77.${index}`,
    vtepMAC: '02:00:00:00:00:02',
    neighbour: true,
    fdb: true,
    route: true,
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
  leaseSource: { name: '/etc/weft/leases.json', refused: null, trouble: null },
  offload: {
    rung: 'none',
    uso: false,
    fastPath: NO_FAST_PATH,
    transmit: { level: 'none', reason: null },
    receive: { level: 'none', reason: null },
  },
  workers: 1,
  capture: null,
  privileges: { capabilities: ['CAP_NET_ADMIN'], noNewPrivileges: true, threadsWithMore: 0, problems: [] },
  obstacles: [],
  peerCheck: 'strict',
  peers: [
    peer(2, { txPackets: 3, rxPackets: 2 }),
    peer(103, { neighbour: false, route: false, txPackets: 3, rxPackets: 0 }),
  ],
  repairs: {},
  learned: null,
  counters: { tx_packets: 123456, tx_drop_runt: 0 },
};

t.test('formatStatus prints every section', async (t) => {
  t.equal(
    formatStatus(STATUS),
    `weft 0.1.0, pid 4711, up 01:01:01
  backend     vxlan, VNI 1, UDP port 8472
  device      flannel.1 up, 10.244.1.0/32, 02:00:00:00:00:01, MTU 1450
  underlay    eth0, 192.168.77.1, MTU 1500
  subnet      10.244.1.0/24
  leases      /etc/weft/leases.json
  offload     level none, 1 worker
  privileges  CAP_NET_ADMIN, no new privileges
  peer check  strict

peers (2)
  SUBNET           PUBLIC IP       VTEP MAC           NEIGH    FDB  ROUTE    HEARD
  10.244.2.0/24    192.168.77.2    02:00:00:00:00:02  yes      yes  yes      yes
  10.244.103.0/24  192.168.77.103  02:00:00:00:00:02  MISSING  yes  MISSING  never

counters
  tx_packets    123456
  tx_drop_runt       0
`,
  );
});

t.test('formatStatus prints no VNI and no MACs for backend udp, and only the routes of peers', async (t) => {
  const { vni, ...backend } = { ...STATUS.backend, type: 'udp', port: 8285 };
  const { mac, ...device } = { ...STATUS.device, name: 'flannel0', mtu: 1472 };
  const { vtepMAC, ...lease } = STATUS.lease;
  const peers = [
    { subnet: '10.244.2.0/24', publicIP: '192.168.77.2', route: true },
    { subnet: '10.244.103.0/24', publicIP: '192.168.77.103', route: false },
  ];
  const text = formatStatus({ ...STATUS, backend, device, lease, peers });
  t.match(text, '\n  backend     udp, UDP port 8285\n');
  t.match(text, '\n  device      flannel0 up, 10.244.1.0/32, MTU 1472\n');
  t.match(
    text,
    `
peers (2)
  SUBNET           PUBLIC IP       ROUTE    HEARD
  10.244.2.0/24    192.168.77.2    yes      -
  10.244.103.0/24  192.168.77.103  MISSING  -

`,
  );
});

t.test('formatStatus fits on 80 columns with the longest IPv4 addresses and all capabilities', async (t) => {
  const longest = peer(2, { subnet: '100.100.100.0/24', publicIP: '192.168.177.103', rxPackets: 1 });
  const text = formatStatus({
    ...STATUS,
    privileges: {
      capabilities: ['CAP_NET_ADMIN', 'CAP_PERFMON', 'CAP_BPF'],
      noNewPrivileges: true,
      threadsWithMore: 10,
      problems: [],
    },
    peers: [longest],
  });
  t.match(text, '\n              10 threads of Node.js have more\n');
  t.same(
    text.split('\n').filter((line) => line.length > 80),
    [],
  );
});

t.test('formatStatus escapes control and format characters of every text', async (t) => {
  const evil = 'x\u001b[2J\n\u202e';
  const text = formatStatus({
    ...STATUS,
    notReady: evil,
    device: { ...STATUS.device, name: evil },
    leaseSource: { name: evil, refused: evil, trouble: evil },
    obstacles: [evil],
    peers: [peer(2, { subnet: evil })],
    counters: { [evil]: 1 },
  });
  t.equal(text.match(/x\\u001b\[2J\\n\\u202e/g)?.length, 8);
  t.notMatch(text, /[^\n -~]/);
});

t.test('formatStatus prints no table without peers', async (t) => {
  t.match(formatStatus({ ...STATUS, peers: [] }), '\npeers (0)\n\ncounters\n');
});

t.test('formatStatus prints at most fifty peers and then refers to --json', async (t) => {
  const peers = Array.from({ length: 120 }, (_, index) => peer(index));
  const text = formatStatus({ ...STATUS, peers });
  t.match(text, '\npeers (120)\n');
  t.match(text, '  10.244.49.0/24');
  t.notMatch(text, '  10.244.50.0/24');
  t.match(text, '  ... and 70 more (--json prints all)\n');
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
  t.match(formatStatus({ ...STATUS, learned: [] }), '\nlearned (0)\n\ncounters\n');
});

t.test('formatStatus prints problems in capitals', async (t) => {
  t.match(formatStatus({ ...STATUS, device: { ...STATUS.device, up: false } }), 'flannel.1 DOWN, ');
  const leaseSource = { name: 'leases.json', refused: 'leases.json:3: no', trouble: null };
  t.match(
    formatStatus({ ...STATUS, leaseSource }),
    '  leases      leases.json, REFUSED: leases.json:3: no\n',
  );
  t.match(
    formatStatus({ ...STATUS, leaseSource: { name: 'etcd', refused: null, trouble: 'connection refused' } }),
    '  leases      etcd, NOT FOLLOWED: connection refused\n',
  );
});

t.test('formatStatus prints the number of repairs of each kind', async (t) => {
  t.match(formatStatus({ ...STATUS, repairs: { route: 2, mac: 1 } }), '  repaired    2 x route, 1 x mac\n');
});

t.test('formatStatus prints the direction that uses a lower offload level, and why', async (t) => {
  const gso = { level: 'gso', reason: null };
  const offload = { rung: 'gso', uso: true, fastPath: NO_FAST_PATH, transmit: gso, receive: gso };
  t.match(formatStatus({ ...STATUS, offload }), '  offload     level gso, 1 worker\n');
  const transmit = { level: 'none', reason: 'the kernel refuses GSO runs (EIO)' };
  t.match(
    formatStatus({ ...STATUS, offload: { ...offload, transmit } }),
    '  offload     level gso, 1 worker; transmit: single datagrams (the kernel refuses GSO runs (EIO))\n',
  );
});

t.test('formatStatus prints the plural for several workers', async (t) => {
  t.match(formatStatus({ ...STATUS, workers: 4 }), 'level none, 4 workers\n');
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
  t.match(text, `up 01:01:01\nNOT READY: ${reason}\n  backend `);
  t.match(text, '  underlay    eth0, 192.168.77.1, MTU 1500, ABSENT\n');
});

t.test('formatStatus prints the public IP of a node behind a NAT', async (t) => {
  const underlay = { ...STATUS.underlay, address: '10.0.0.7' };
  t.match(
    formatStatus({ ...STATUS, underlay }),
    '\n  underlay    eth0, 10.0.0.7, public IP 192.168.77.1, MTU 1500\n',
  );
});

t.test('formatStatus prints obstacles before the peers, each remedy on a line of its own', async (t) => {
  const obstacles = ['ip_forward is 0; run sysctl -w x=1; and keep it', 'no remedy'];
  t.match(
    formatStatus({ ...STATUS, obstacles }),
    'strict\n\nobstacles (2)\n  - ip_forward is 0\n      run sysctl -w x=1; and keep it\n  - no remedy\n\npeers (2)\n',
  );
});
