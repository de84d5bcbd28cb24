/** The checks of forwarding, local peers, bridges and router advertisements. */

import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import t, { type Test } from 'tap';
import { checkBridges } from '../../../../src/control/obstacles/cni-bridge.js';
import { checkForwarding } from '../../../../src/control/obstacles/forwarding.js';
import { checkLocalPeers } from '../../../../src/control/obstacles/local-peer.js';
import type { FamilyFacts, Obstacle } from '../../../../src/control/obstacles/obstacle.js';
import { checkRouterAdvertisements } from '../../../../src/control/obstacles/router-advertisements.js';
import { cidr } from '../../../support/addresses.js';
import { FakeIp } from '../../../support/fake-ip.js';
import { nodeLease } from '../../../support/leases.js';

const FACTS: FamilyFacts = {
  family: 'ipv4',
  device: 'flannel.1',
  underlay: 'eth0',
  address: 0xc0a84d01,
  port: 8472,
  network: cidr('10.244.0.0/16'),
  subnet: cidr('10.244.5.0/24'),
  peers: [nodeLease(2), nodeLease(3)],
};
const FACTS6: FamilyFacts = { ...FACTS, family: 'ipv6', device: 'flannel-v6.1', peers: [] };

const keys = (obstacles: readonly Obstacle[]): string[] => obstacles.map(({ key }) => key);

/** Returns a /proc/sys with these values below net. */
function sysctls(t: Test, values: Readonly<Record<string, string>>): string {
  const root = t.testdir({});
  for (const [path, value] of Object.entries(values)) {
    const file = join(root, 'net', path);
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, `${value}\n`);
  }
  return root;
}

const IPV4 = {
  'ipv4/ip_forward': '1',
  'ipv4/conf/flannel.1/forwarding': '1',
  'ipv4/conf/eth0/forwarding': '1',
};

t.test('checkForwarding finds no obstacle where forwarding is on and no bridge exists', async (t) => {
  t.same(await checkForwarding(FACTS, sysctls(t, IPV4)), []);
});

t.test('checkForwarding names ip_forward alone, which switches every device', async (t) => {
  const off = { ...IPV4, 'ipv4/ip_forward': '0', 'ipv4/conf/flannel.1/forwarding': '0' };
  const [only, ...more] = await checkForwarding(FACTS, sysctls(t, off));
  t.match(
    only?.message,
    /^net\.ipv4\.ip_forward is 0: .*; run sysctl -w net\.ipv4\.ip_forward=1, and set it/,
  );
  t.same(more, []);
});

t.test(
  'checkForwarding names each device whose forwarding is off, in a form that sysctl accepts',
  async (t) => {
    const off = Object.fromEntries(
      ['flannel.1', 'eth0', 'cni0'].map((name) => [`ipv4/conf/${name}/forwarding`, '0']),
    );
    const found = await checkForwarding(FACTS, sysctls(t, { 'ipv4/ip_forward': '1', ...off }));
    t.same(keys(found), [
      'forwarding net.ipv4.conf.flannel/1.forwarding',
      'forwarding net.ipv4.conf.eth0.forwarding',
      'forwarding net.ipv4.conf.cni0.forwarding',
    ]);
  },
);

t.test('checkForwarding needs only the switch for all devices with IPv6', async (t) => {
  const conf = { 'ipv6/conf/all/forwarding': '1', 'ipv6/conf/eth0/forwarding': '0' };
  t.same(await checkForwarding(FACTS6, sysctls(t, conf)), []);
  const off = await checkForwarding(FACTS6, sysctls(t, { 'ipv6/conf/all/forwarding': '0' }));
  t.same(keys(off), ['forwarding net.ipv6.conf.all.forwarding']);
});

const info = (local: string, prefixlen: number) => ({ family: 'inet', local, prefixlen });
const link = (ifname: string, addresses: object[], kind?: string) => ({
  ifindex: 5,
  ifname,
  mtu: 1500,
  flags: ['UP'],
  ...(kind && { linkinfo: { info_kind: kind } }),
  addr_info: addresses,
});

function withLinks(t: Test, ...links: object[]): void {
  FakeIp.install(t).answer('-details address show', links);
}

t.test('checkLocalPeers names a peer whose public IP this node has, and the interface', async (t) => {
  withLinks(
    t,
    link('kube-ipvs0', [info('192.168.77.3', 32)], 'dummy'),
    link('eth0', [info('192.168.77.1', 24)]),
  );
  const found = await checkLocalPeers(FACTS);
  t.same(keys(found), ['local peer 10.244.3.0/24']);
  t.match(
    found[0]?.message,
    /public IP 192\.168\.77\.3, .* kube-ipvs0 .*delete 192\.168\.77\.3\/32 dev kube-ipvs0/,
  );
});

t.test("checkLocalPeers ignores Weft's own device", async (t) => {
  withLinks(t, link('flannel.1', [info('192.168.77.3', 24)], 'tun'));
  t.same(await checkLocalPeers(FACTS), []);
});

t.test('checkBridges names a bridge with an address of another subnet of the pod network', async (t) => {
  withLinks(
    t,
    link('cni0', [info('10.244.1.1', 24)], 'bridge'),
    link('docker0', [info('172.17.0.1', 16)], 'bridge'),
    link('cni1', [info('10.244.5.1', 24)], 'bridge'),
    link('eth1', [info('10.244.9.9', 24)]),
  );
  const found = await checkBridges(FACTS);
  t.same(keys(found), ['bridge cni0 10.244.1.1']);
  t.match(
    found[0]?.message,
    /cni0 has address 10\.244\.1\.1\/24, .* 10\.244\.5\.0\/24: .* ip link delete cni0/,
  );
});

const RA = { dst: 'default', gateway: 'fe80::1', dev: 'eth0', protocol: 'ra' };
const ROUTER = { 'ipv6/conf/eth0/accept_ra': '1', 'ipv6/conf/eth0/forwarding': '1' };

t.test('checkRouterAdvertisements warns of an advertised default route that will expire', async (t) => {
  FakeIp.install(t).answer('-6 route show default', [RA]);
  const found = await checkRouterAdvertisements(FACTS6, sysctls(t, ROUTER));
  t.match(found[0]?.message, /through eth0 expires; run sysctl -w net\.ipv6\.conf\.eth0\.accept_ra=2/);
});

t.test('checkRouterAdvertisements is silent unless all conditions hold', async (t) => {
  const ip = FakeIp.install(t);
  ip.answer('-6 route show default', [RA]);
  t.same(await checkRouterAdvertisements(FACTS, sysctls(t, ROUTER)), [], 'IPv4');
  for (const change of [
    { 'ipv6/conf/eth0/accept_ra': '2' },
    { 'ipv6/conf/eth0/accept_ra': '0' },
    { 'ipv6/conf/eth0/forwarding': '0' },
  ]) {
    t.same(await checkRouterAdvertisements(FACTS6, sysctls(t, { ...ROUTER, ...change })), []);
  }
  ip.answer('-6 route show default', [
    { ...RA, protocol: 'static' },
    { ...RA, dev: 'eth1' },
  ]);
  t.same(await checkRouterAdvertisements(FACTS6, sysctls(t, ROUTER)), []);
});
