import t from 'tap';
import { formatIpv4, parseIpv4 } from '../../../../src/control/ipv4.js';
import { chooseInterface, type Link, readLinks } from '../../../../src/control/network/links.js';
import { FakeIp } from '../../../support/fake-ip.js';
import { mentions, refusal } from '../../../support/user-error.js';

/** As iproute2 prints them, cut to what matters. */
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

t.test(
  'links have index, name, MAC, MTU, kind, state and IPv4 addresses without the loopback ones',
  async (t) => {
    FakeIp.install(t).answer('-details address show', ADDRESS_SHOW);
    const links = await readLinks();
    t.same(
      links.map(({ name, mac, mtu, kind, up, addresses }) => [
        name,
        mac,
        mtu,
        kind,
        up,
        addresses.map(formatIpv4),
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
  },
);

const link = (name: string, ...addresses: string[]): Link => ({
  index: 2,
  name,
  mac: '',
  mtu: 1500,
  kind: undefined,
  data: {},
  up: true,
  addresses: addresses.map((text) => parseIpv4(text) as number),
});

const LINKS = [
  link('lo'),
  link('eth0', '192.168.77.1', '10.0.0.7'),
  link('eth1', '172.16.0.1'),
  link('eth2'),
];

t.test('an interface is named by name or by any of its addresses', async (t) => {
  t.equal((await chooseInterface(LINKS, 'eth1')).name, 'eth1');
  t.equal((await chooseInterface(LINKS, '10.0.0.7')).name, 'eth0');
});

t.test('without a name it is that of the default route', async (t) => {
  FakeIp.install(t).answer('-4 route show default', [
    { dst: 'default', dev: 'eth1' },
    { dst: 'default', dev: 'eth0' },
  ]);
  t.equal((await chooseInterface(LINKS, undefined)).name, 'eth1');
});

t.test('no default route is refused with what there is to name', async (t) => {
  FakeIp.install(t);
  const message = await refusal(t, () => chooseInterface(LINKS, undefined));
  mentions(t, message, 'no default route', '--iface', 'lo, eth0, eth1, eth2');
});

t.test('an unknown name or address is refused with what there is', async (t) => {
  for (const wanted of ['eth9', '192.168.77.2', '']) {
    const message = await refusal(t, () => chooseInterface(LINKS, wanted));
    mentions(t, message, `--iface ${wanted}: no interface has this name or address`, 'lo, eth0, eth1, eth2');
  }
});

t.test('an interface without an IPv4 address is refused', async (t) => {
  mentions(
    t,
    await refusal(t, () => chooseInterface(LINKS, 'eth2')),
    '--iface eth2',
    'has no IPv4 address; give it one',
  );
});
