import t from 'tap';
import { formatIp } from '../../../../src/control/addresses/ip.js';
import { listLinks, localAddresses, readLinks } from '../../../../src/control/kernel/links.js';
import { FakeIp } from '../../../support/fake-ip.js';

/** iproute2's output, reduced to what Weft reads. */
const ADDRESS_SHOW = [
  {
    ifname: 'lo',
    flags: ['LOOPBACK', 'UP'],
    mtu: 65536,
    address: '00:00:00:00:00:00',
    addr_info: [
      { family: 'inet', local: '127.0.0.1', prefixlen: 8, scope: 'host' },
      { family: 'inet6', local: '::1', prefixlen: 128, scope: 'host' },
    ],
  },
  {
    ifindex: 2,
    ifname: 'eth0',
    flags: ['BROADCAST', 'UP'],
    mtu: 1500,
    address: 'aa:bb:cc:dd:ee:ff',
    addr_info: [
      { family: 'inet', local: '192.168.77.1', prefixlen: 24, scope: 'global' },
      { family: 'inet', local: '10.0.0.7', prefixlen: 8, scope: 'link' },
      { family: 'inet6', local: 'fe80::1', prefixlen: 64, scope: 'link' },
    ],
  },
  {
    ifname: 'flannel.1',
    flags: ['BROADCAST'],
    mtu: 1450,
    address: '02:00:00:00:00:01',
    linkinfo: { info_kind: 'vxlan', info_data: { id: 1, port: 8472 } },
    addr_info: [],
  },
  { ifname: 'wg0', flags: ['POINTOPOINT'], mtu: 1420 },
];

t.test('readLinks returns index, name, MAC, MTU, kind, state and usable IPv4 addresses', async (t) => {
  FakeIp.install(t).answer('-details address show', ADDRESS_SHOW);
  const links = await readLinks();
  t.same(
    links.map(({ name, mac, mtu, kind, up, usable }) => [
      name,
      mac,
      mtu,
      kind,
      up,
      usable.ipv4.map(formatIp),
    ]),
    [
      ['lo', '00:00:00:00:00:00', 65536, undefined, true, []],
      ['eth0', 'aa:bb:cc:dd:ee:ff', 1500, undefined, true, ['192.168.77.1', '10.0.0.7']],
      ['flannel.1', '02:00:00:00:00:01', 1450, 'vxlan', false, []],
      ['wg0', '', 1420, undefined, false, []],
    ],
  );
  t.same(links[2]?.data, { id: 1, port: 8472 });
  t.equal(links[1]?.index, 2);
});

t.test("usable addresses are in flannel's order, without deprecated ones", async (t) => {
  const inet = (local: string, flags: object = {}) => ({ family: 'inet', local, prefixlen: 24, ...flags });
  const addresses = [
    inet('169.254.7.7'),
    inet('10.0.0.5', { dynamic: true }),
    inet('10.0.0.4', { secondary: true }),
    inet('10.0.0.9', { deprecated: true }),
    inet('10.0.0.3'),
    inet('169.254.7.8', { dynamic: true }),
    inet('10.0.0.6', { dynamic: true, secondary: true }),
    inet('127.0.0.1'),
    inet('10.0.0.2'),
  ];
  const eth0 = { ifindex: 2, ifname: 'eth0', flags: [], mtu: 1500, addr_info: addresses };
  FakeIp.install(t).answer('-details address show', [eth0]);
  t.equal(
    listLinks(await readLinks(), ['ipv4']),
    'eth0:[10.0.0.3 10.0.0.2 10.0.0.4 10.0.0.5 10.0.0.6 169.254.7.7 169.254.7.8]',
  );
});

t.test(
  'usable IPv6 addresses are global before link-local, permanent before dynamic and temporary',
  async (t) => {
    const inet6 = (local: string, flags: object = {}) => ({
      family: 'inet6',
      local,
      prefixlen: 64,
      ...flags,
    });
    const addresses = [
      inet6('fe80::1'),
      inet6('2001:db8::5', { dynamic: true, temporary: true }),
      inet6('2001:db8::4', { dynamic: true }),
      inet6('2001:db8::9', { deprecated: true }),
      inet6('2001:db8::8', { tentative: true, dadfailed: true }),
      inet6('::1'),
      inet6('fd00::3', { tentative: true }),
      inet6('fd00::2'),
    ];
    const eth0 = { ifindex: 2, ifname: 'eth0', flags: [], mtu: 1500, addr_info: addresses };
    FakeIp.install(t).answer('-details address show', [eth0]);
    const links = await readLinks();
    t.equal(listLinks(links, ['ipv4', 'ipv6']), 'eth0:[fd00::3 fd00::2 2001:db8::4 2001:db8::5 fe80::1]');
    t.same(links[0]?.tentative.map(formatIp), ['2001:db8::8', 'fd00::3'], 'cannot be bound');
  },
);

t.test('localAddresses counts a deprecated address, because a bound socket still uses it', async (t) => {
  FakeIp.install(t).answer('-details address show', [
    { ifname: 'eth0', flags: [], addr_info: [{ family: 'inet6', local: 'fd00::3', deprecated: true }] },
  ]);
  t.same(localAddresses(await readLinks()), [(0xfdn << 120n) | 3n]);
});

t.test('localAddresses leaves out dummy interfaces such as kube-ipvs0', async (t) => {
  const dummy = { ifname: 'kube-ipvs0', flags: [], linkinfo: { info_kind: 'dummy' } };
  FakeIp.install(t).answer('-details address show', [
    { ...dummy, addr_info: [{ family: 'inet', local: '192.168.77.1', prefixlen: 32 }] },
    { ifname: 'eth0', flags: [], addr_info: [{ family: 'inet', local: '10.0.0.7', prefixlen: 8 }] },
  ]);
  t.same(localAddresses(await readLinks()), [0x0a000007]);
});
