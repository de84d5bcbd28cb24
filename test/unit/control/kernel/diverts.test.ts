import t, { type Test } from 'tap';
import { diverts, gatewaysOf, removeDiversions } from '../../../../src/control/kernel/diverts.js';
import type { Route } from '../../../../src/control/kernel/snapshot.js';
import { FakeIp } from '../../../support/fake-ip.js';

const IPV4 = {
  family: 'ipv4',
  device: 'flannel.1',
  devices: ['flannel.1', 'flannel-v6.1'],
  network: { base: 0x0af40000, prefixLength: 16 },
} as const;
const UNDERLAY = [0xc0a84d01, 0xc0a84d02];

async function removed(t: Test, routes: readonly Route[]): Promise<unknown[]> {
  const ip = FakeIp.install(t);
  return [await removeDiversions(IPV4, { links: [], routes }, UNDERLAY), ip.taken()];
}

t.test('diverts holds for a network with an underlay address, and for default', async (t) => {
  t.equal(diverts({ base: 0xc0a84d32, prefixLength: 24 }, UNDERLAY), true);
  t.equal(diverts({ base: 0xc0a84d32, prefixLength: 32 }, UNDERLAY), false);
  t.equal(diverts({ base: 0xc0a84d02, prefixLength: 32 }, UNDERLAY), true);
  t.equal(diverts({ base: 0xac1e0001, prefixLength: 24 }, UNDERLAY), false);
  t.equal(diverts({ base: 0, prefixLength: 0 }, []), true);
  t.equal(diverts({ base: 0xfd00n << 112n, prefixLength: 8 }, [0xfd00n << 112n]), true);
});

t.test(
  'gatewaysOf has the gateways of the underlay, each once, and no link-local IPv6 gateway',
  async (t) => {
    const routes: Route[] = [
      { dst: 'default', gateway: '192.168.77.254', dev: 'eth0' },
      { dst: '10.9.0.0/16', gateway: '192.168.77.254', dev: 'eth0' },
      { dst: '10.8.0.0/16', nexthops: [{ gateway: '192.168.78.1' }, {}] },
      { dst: '10.244.2.0/24', gateway: '10.244.2.0', dev: 'flannel.1' },
      { dst: 'default', gateway: 'fe80::1', dev: 'eth0' },
      { dst: '192.168.77.0/24', dev: 'eth0' },
    ];
    t.same(gatewaysOf(routes, ['flannel.1']), [0xc0a84dfe, 0xc0a84e01]);
  },
);

t.test('removeDiversions removes the routes of a DHCP client and keeps all others', async (t) => {
  const dhcp = { dev: 'flannel.1', protocol: 'dhcp', metric: 100 };
  t.same(
    await removed(t, [
      { dst: '192.168.77.0/24', ...dhcp },
      { dst: 'default', gateway: '192.168.77.254', ...dhcp },
      { dst: '192.168.77.2', dev: 'flannel-v6.1' },
      { dst: '192.168.77.0/24', dev: 'flannel.1', protocol: 'kernel' },
      { dst: '192.168.77.0/24', dev: 'eth0', metric: 202 },
      { dst: '172.30.0.0/16', dev: 'flannel.1' },
      { dst: '10.244.2.0/24', gateway: '10.244.2.0', dev: 'flannel.1' },
    ]),
    [
      { route: 3 },
      [
        'route delete 192.168.77.0/24 dev flannel.1 metric 100',
        'route delete 0.0.0.0/0 dev flannel.1 metric 100',
        'route delete 192.168.77.2/32 dev flannel-v6.1',
      ],
    ],
  );
});

t.test('removeDiversions starts no process without a diversion', async (t) => {
  const ip = FakeIp.install(t);
  t.same(await removeDiversions(IPV4, { links: [], routes: [] }, UNDERLAY), {});
  t.equal(ip.starts, 0);
});

t.test('removeDiversions removes an address of the LAN from the device of the other family', async (t) => {
  const ip = FakeIp.install(t);
  const assigned = [{ address: 0xc0a84d32, prefixLength: 24 }];
  const link = { index: 6, mac: '', mtu: 1430, up: true, assigned };
  const links = ['flannel.1', 'flannel-v6.1', 'eth0'].map((name) => ({ ...link, name }));
  t.same(await removeDiversions(IPV4, { links, routes: [] }, UNDERLAY), { address: 1 });
  t.same(ip.taken(), ['address delete 192.168.77.50/24 dev flannel-v6.1']);
});
