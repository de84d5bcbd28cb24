import t, { type Test } from 'tap';
import { type JournalState, parseJournal } from '../../../src/control/journal-state.js';

/** Parses a state of these parts; returns it with the number of parts that were left out. */
function parse(parts: object): { state: JournalState; ignored: number } {
  let ignored = 0;
  const state = parseJournal(JSON.stringify(parts), (count) => {
    ignored += count;
  });
  return { state, ignored };
}

function routes(t: Test, list: unknown[], expected: string[]): void {
  const { state, ignored } = parse({ routes: list });
  t.same(state.routes, expected);
  t.equal(ignored, list.length - expected.length, JSON.stringify(list));
}

t.test('parseJournal returns what Weft writes', async (t) => {
  const written = {
    pid: 4711,
    devices: [{ name: 'flannel.1', index: 5 }, { name: 'flannel-v6.1' }],
    subnetFile: '/run/flannel/subnet.env',
    routes: [
      '10.244.2.0/24 via 192.168.77.2',
      'blackhole 10.244.1.0/24',
      'blackhole fd00:244:1::/64 dev lo',
      '10.244.3.0/24 via 10.244.3.0 dev flannel.1 onlink',
    ],
  };
  const devices = [written.devices[0], { name: 'flannel-v6.1', index: undefined }];
  t.same(parse(written), { state: { ...written, devices }, ignored: 0 });
});

t.test('parseJournal formats routes again', async (t) => {
  routes(
    t,
    [
      '10.244.2.9/24 via 192.168.77.2',
      'FD00:244:2:0::/64 via FD00::2'.toLowerCase(),
      'fd00:244:2:0::/64 via fd00:0::3',
    ],
    ['10.244.2.0/24 via 192.168.77.2', 'fd00:244:2::/64 via fd00::2', 'fd00:244:2::/64 via fd00::3'],
  );
});

t.test('parseJournal leaves out routes in any other form', async (t) => {
  routes(
    t,
    [
      '10.244.2.0/24 via 192.168.77.2\nlink delete eth0',
      '10.244.2.0/24 via 192.168.77.2 ',
      '10.244.2.0/24 via 192.168.77.2 table 255',
      '10.244.2.0/24 via fd00::2',
      '10.244.2.0/24',
      '10.244.2.0/24 dev eth0',
      '10.244.2.0/24 via 192.168.77.2 dev eth0',
      '10.244.2.0/24 onlink',
      'default via 192.168.77.1',
      '0.0.0.0/0 via 192.168.77.1',
      'blackhole 10.244.1.0/24 dev eth0',
      'blackhole 10.244.1.0/24 via 192.168.77.1',
      '-batch /etc/shadow',
      '10.244.2.0/24 via 192.168.77.2\0',
      `10.244.2.0/24 via ${'1'.repeat(65_536)}`,
      '',
      7,
      null,
      ['10.244.2.0/24 via 192.168.77.2'],
      {},
    ],
    [],
  );
});

t.test('parseJournal leaves out devices that Weft does not create, and more than it has', async (t) => {
  for (const device of [
    { name: 'eth0', index: 2 },
    { name: 'flannel.1\nlink delete eth0', index: 2 },
    { name: 'flannel.1', index: '2' },
    { name: 'flannel.1', index: -1 },
    { name: 'flannel.1', index: 1.5 },
    { name: 7, index: 1 },
    'flannel.1',
    null,
  ]) {
    t.same(parse({ devices: [device] }), { state: parse({}).state, ignored: 1 }, JSON.stringify(device));
  }
  const many = Array.from({ length: 1000 }, (_, index) => ({ name: `flannel.${index}`, index: index + 1 }));
  t.equal(parse({ devices: many }).state.devices.length, 2);
});

t.test('parseJournal leaves out values of another type and keeps the rest', async (t) => {
  const route = 'blackhole 10.244.1.0/24';
  const { state, ignored } = parse({
    pid: '1',
    devices: 'x',
    subnetFile: 'a\nb',
    routes: [route, [[]], true],
  });
  t.same(state, { pid: undefined, devices: [], subnetFile: undefined, routes: [route] });
  t.equal(ignored, 5);
  for (const subnetFile of ['', 7, 'x'.repeat(4096), '/a\0b']) {
    t.same(parse({ subnetFile }), { state: parse({}).state, ignored: 1 });
  }
});

t.test('parseJournal throws the reason for a text that is no JSON object', async (t) => {
  for (const text of ['', '[', '[]', 'null', '['.repeat(1_000_000)])
    t.throws(() => parseJournal(text, () => {}), /^it is/);
});
