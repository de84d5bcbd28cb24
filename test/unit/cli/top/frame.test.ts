import t from 'tap';
import { report, screen, type View } from '../../../../src/cli/top/frame.js';
import { ASCII, type Glyphs, UNICODE } from '../../../../src/cli/top/glyphs.js';
import { Traffic } from '../../../../src/cli/top/traffic.js';
import { fixture } from '../../../support/fixtures.js';
import { STATUS } from '../../../support/status.js';
import { type Scenario, trafficOf } from '../../../support/top-scenario.js';

const ANSWERS = 30;
const NOW = (ANSWERS - 1) * 1000;

/** Three peers: one busy both ways, one that is sent to, one that answers nothing. */
const THREE: Scenario = {
  answers: ANSWERS,
  peers: 3,
  tx: (peer, second) => [20_000 + 4000 * (second % 8), 90 * (second % 3), 1][peer],
  rx: (peer, second) => [70_000 + 9000 * (second % 5), 40, 0][peer],
};

const TROUBLED: Scenario = {
  ...THREE,
  fields: (peer) => (peer === 1 ? { neighbour: false } : {}),
  drops: (second) => ({
    tx_drop_unknown_mac: 3,
    tx_drop_runt: 0,
    rx_drop_unknown_vtep: second < 18 ? 0 : second * second,
    rx_drop_device_full: second < 20 ? 5 : 17,
  }),
  status: {
    obstacles: [
      'nftables: table inet filter, chain forward drops pod traffic; accept the pod network 10.244.0.0/16 there',
    ],
    repairs: { route: 2, mac: 1 },
  },
};

const MANY: Scenario = {
  answers: 3,
  peers: 1000,
  tx: (peer) => (peer % 7 === 0 ? peer : 0),
  rx: (peer) => peer % 3,
  fields: (peer) => ({
    subnet: `10.${240 + (peer >> 8)}.${peer & 255}.0/24`,
    publicIP: `192.168.${100 + (peer >> 8)}.${peer & 255}`,
  }),
};

function view(traffic: Traffic, fields: Partial<View> = {}): View {
  return { traffic, failure: undefined, first: 0, onlyProblems: false, now: NOW, ...fields };
}

/** Returns the screen as text, one line per row. */
function drawn(of: View, columns: number, rows: number, glyphs: Glyphs = UNICODE): string {
  const { lines } = screen(of, { columns, rows }, glyphs);
  return lines.map(({ text }) => `${text.trimEnd()}\n`).join('');
}

for (const [name, scenario, columns, rows] of [
  ['top-80x24', THREE, 80, 24],
  ['top-120x40', TROUBLED, 120, 40],
  ['top-drops-80x24', TROUBLED, 80, 24],
  ['top-60x24', TROUBLED, 60, 24],
  ['top-1000-80x24', MANY, 80, 24],
] as const) {
  t.test(`screen draws ${name}`, async (t) => {
    const text = drawn(view(trafficOf(scenario)), columns, rows);
    t.equal(text, fixture(`${name}.txt`));
    t.equal(text.split('\n').length - 1, rows);
  });
}

t.test('screen fills every size exactly', async (t) => {
  const traffic = trafficOf(TROUBLED);
  for (const columns of [1, 20, 40, 55, 60, 65, 69, 70, 80, 99, 100, 132, 300]) {
    for (const rows of [1, 2, 5, 10, 24, 100]) {
      const { lines } = screen(view(traffic), { columns, rows }, UNICODE);
      t.equal(lines.length, rows);
      t.same(
        lines.filter(({ text }) => text.length > columns),
        [],
        `${columns}x${rows}`,
      );
    }
  }
});

t.test('screen draws ASCII alone without a UTF-8 locale', async (t) => {
  t.match(drawn(view(trafficOf(TROUBLED)), 80, 24, ASCII), /^[\n -~]*$/);
});

t.test('screen scrolls to the last peers, and no further', async (t) => {
  const traffic = trafficOf(MANY);
  const { first, lines } = screen(view(traffic, { first: 5000 }), { columns: 80, rows: 24 }, UNICODE);
  t.match(lines.at(-1)?.text, `peers ${first + 1}-1000 of 1000`);
  t.equal(lines.filter(({ text }) => text.startsWith('192.168.')).length, 1000 - first);
});

t.test('screen shows only the peers with a problem if the user wants these', async (t) => {
  const fields = (peer: number) => ({ ...MANY.fields?.(peer), ...(peer === 77 && { neighbour: false }) });
  const traffic = trafficOf({ ...MANY, rx: () => 1, fields });
  const all = drawn(view(traffic), 80, 24);
  t.match(all, /peers 1-\d+ of 1000, 1 with a problem \(p\)\n$/);
  t.notMatch(all, 'NO NEIGH');
  const some = drawn(view(traffic, { onlyProblems: true, first: 900 }), 80, 24);
  t.match(
    some,
    /\n192\.168\.100\.77 .* NO NEIGH\n[^1]*\n q quit .* peers 1-1 of 1 with a problem \(p: all\)\n$/,
  );
  const none = drawn(view(trafficOf(THREE), { onlyProblems: true }), 80, 24);
  t.match(none, /\n192\.168\.77\.4 .* never heard\n/);
});

t.test('screen marks a peer of which a packet was dropped within the last minute', async (t) => {
  const drop = (ageSeconds: number) => ({ lastDrop: { reason: 'rx_drop_wrong_source_mac', ageSeconds } });
  const traffic = trafficOf({ ...THREE, fields: (peer) => [drop(59), drop(60), {}][peer] ?? {} });
  const text = drawn(view(traffic), 80, 24);
  t.match(text, /\n192\.168\.77\.2 .* drop 59 s\n192\.168\.77\.3 .* heard\n/);
  t.match(text, '2 with a problem');
});

t.test('screen leaves room for peers beside many drop counters', async (t) => {
  const names = [...'abcdefghi'].map((letter) => `rx_drop_${letter}`);
  const drops = (second: number) => Object.fromEntries(names.map((name, index) => [name, second * index]));
  const text = drawn(view(trafficOf({ ...MANY, drops })), 80, 24);
  t.match(text, /\nDROPS, 4 of 8 .*(\nrx_drop_. .*){4}\n q quit/);
});

t.test('screen shows that Weft does not run, and its last peers without rates', async (t) => {
  const traffic = trafficOf(THREE);
  traffic.miss();
  const failure = { headline: 'weft does not run (waiting)', reason: '--run-dir /run/weft: nothing' };
  const lines = drawn(view(traffic, { failure }), 80, 24).split('\n');
  t.same(lines.slice(0, 2), [failure.headline, failure.reason]);
  t.match(lines[5], /^total +- +- .+ - +- /);
  t.match(lines[7], /^192\.168\.77\.2 +- +- /);
});

t.test('screen and report wrap what is wrong, so that its remedy is readable', async (t) => {
  const refused = 'leases.json:4 (--lease-file): leases[2].Subnet is "10.244.3.1000/24": not an IPv4 subnet';
  const leaseSource = { ...STATUS.leaseSource, refused };
  const traffic = trafficOf({ ...THREE, status: { leaseSource } });
  const expected = [
    'LEASES REFUSED: leases.json:4 (--lease-file): leases[2].Subnet is',
    '                "10.244.3.1000/24": not an IPv4 subnet',
  ];
  t.same(drawn(view(traffic), 80, 24).split('\n').slice(2, 4), expected);
  const once = report(view(traffic), 80, UNICODE).map(({ text }) => text);
  t.same(once.slice(2, 4), expected);
  t.same(
    once.filter(({ length }) => length > 80),
    [],
  );
  const reason = `--run-dir /run/weft: Weft is not running there (nothing listens on /run/weft/weft.sock); start it`;
  const failure = { headline: 'weft does not run (waiting)', reason };
  t.match(drawn(view(traffic, { failure }), 80, 24), '\n/run/weft/weft.sock); start it\n');
});

t.test('screen shows a Weft that starts', async (t) => {
  const traffic = new Traffic();
  const { version, pid, uptimeSeconds } = STATUS;
  traffic.read({ version, pid, uptimeSeconds, notReady: 'starting' }, 0);
  const lines = drawn(view(traffic), 80, 24).split('\n');
  t.same(lines.slice(0, 2), ['weft 0.1.0, pid 4711, up 01:01:01', 'NOT READY: starting']);
});

t.test('screen marks what is wrong, and makes texts printable', async (t) => {
  const traffic = trafficOf({ ...TROUBLED, status: { notReady: 'no \u001b[2J underlay' } });
  const { lines } = screen(view(traffic), { columns: 80, rows: 24 }, UNICODE);
  const bad = lines.filter(({ style }) => style === 'bad').map(({ text }) => text.slice(0, 23).trimEnd());
  t.same(bad, [
    'NOT READY: no \\u001b[2J',
    'drops',
    '192.168.77.3     2.02M',
    '192.168.77.4     11.2k',
    'rx_drop_unknown_vtep',
  ]);
});

t.test('screen draws both families of a dual-stack node, with room for IPv6 addresses', async (t) => {
  const traffic = trafficOf({
    ...THREE,
    fields: (peer) =>
      peer === 2 ? { publicIP: '2001:db8:1234:5678::abcd:ef12', subnet: 'fd00:10:3::/64' } : {},
    status: { ipv6: { ...STATUS, device: { ...STATUS.device, name: 'flannel-v6.1' } } },
  });
  const lines = drawn(view(traffic), 80, 24).split('\n');
  t.match(lines[2], /^flannel-v6\.1 up, /);
  t.ok(
    lines.some((text) => /^2001:db8:12\S*…\S*::abcd:ef12 /.test(text)),
    'its end is visible',
  );
  const wide = drawn(view(traffic), 120, 24);
  t.match(wide, /\n2001:db8:1234:5678::abcd:ef12 /);
});

t.test('screen shows the state that Weft gives, and what is missing in the kernel first', async (t) => {
  const states = [
    { state: 'reachable' },
    { state: 'silent', heardAgeSeconds: 75 },
    { state: 'neverHeard', heardAgeSeconds: null },
    { state: 'unused' },
    { state: 'reachable', direct: true },
    { state: 'silent', route: false },
    { state: 'reachable', fdb: false },
  ];
  const traffic = trafficOf({
    answers: 2,
    peers: states.length,
    tx: (peer) => 1000 - 100 * peer,
    rx: () => 0,
    fields: (peer) => states[peer],
  });
  const { lines } = screen(view(traffic), { columns: 80, rows: 24 }, UNICODE);
  const peers = lines.filter(({ text }) => text.startsWith('192.168.'));
  t.same(
    peers.map(({ text, style }) => [text.slice(69), style]),
    [
      ['reachable', 'plain'],
      ['silent 1 m', 'bad'],
      ['never heard', 'bad'],
      ['-', 'plain'],
      ['direct', 'plain'],
      ['NO ROUTE', 'bad'],
      ['NO FDB', 'bad'],
    ],
  );
  t.match(lines.at(-1)?.text, 'peers 1-7 of 7, 4 with a problem');
});

t.test('report prints every peer, without history', async (t) => {
  const lines = report(view(trafficOf(MANY)), 80, UNICODE).map(({ text }) => text);
  t.equal(lines.filter((text) => text.startsWith('192.168.')).length, 1000);
  t.match(lines[4], /^PEER +SUBNET +tx +rx +tx +rx STATE$/);
  t.notMatch(lines.join('\n'), /[▁-█]/);
  t.same(
    lines.filter((text) => text.length > 80),
    [],
  );
});
