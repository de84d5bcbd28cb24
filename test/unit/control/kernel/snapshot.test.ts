import t from 'tap';
import { parseIp } from '../../../../src/control/addresses/ip.js';
import { readSnapshot } from '../../../../src/control/kernel/snapshot.js';
import { FakeIp } from '../../../support/fake-ip.js';
import { mentions, refusal } from '../../../support/user-error.js';

t.test('readSnapshot reads links, addresses, neighbours and routes of a family in one process', async (t) => {
  const ip = FakeIp.install(t);
  ip.answer('-6 link show', [
    { ifindex: 1, ifname: 'lo', mtu: 65536, flags: ['UP'], address: '00:00:00:00:00:00' },
    { ifindex: 7, ifname: 'flannel-v6.1', mtu: 1430, flags: [], address: '02:00:00:00:00:01' },
  ]);
  ip.answer('-6 address show', [
    {
      ifindex: 7,
      addr_info: [
        { local: 'fd00:244:1::', prefixlen: 128 },
        { local: 'fe80::1', prefixlen: 64 },
      ],
    },
  ]);
  ip.answer('-6 neighbour show nud permanent', [
    { dst: 'fd00:244:2::', dev: 'flannel-v6.1', lladdr: '02:00:00:00:00:02' },
  ]);
  ip.answer('-6 route show', [
    { dst: 'fd00:244:2::/64', gateway: 'fd00:244:2::', dev: 'flannel-v6.1', metric: 1024, flags: ['onlink'] },
    { type: 'blackhole', dst: 'fd00:244:1::/64', dev: 'lo', protocol: 'boot', metric: 1024, flags: [] },
    { dst: 'fd00:9::/64', metric: 1024, flags: [], nexthops: [{ gateway: 'fe80::2', dev: 'eth0' }] },
  ]);
  const snapshot = await readSnapshot('ipv6');
  t.equal(ip.reads, 1);
  t.match(snapshot.links, [
    { index: 1, name: 'lo', mac: '00:00:00:00:00:00', mtu: 65536, up: true, assigned: [] },
    {
      index: 7,
      name: 'flannel-v6.1',
      mac: '02:00:00:00:00:01',
      mtu: 1430,
      up: false,
      assigned: [
        { address: parseIp('fd00:244:1::'), prefixLength: 128 },
        { address: parseIp('fe80::1'), prefixLength: 64 },
      ],
    },
  ]);
  t.same(snapshot.neighbours, [{ dst: 'fd00:244:2::', dev: 'flannel-v6.1', lladdr: '02:00:00:00:00:02' }]);
  t.match(snapshot.routes, [
    { type: undefined, dst: 'fd00:244:2::/64', dev: 'flannel-v6.1', flags: ['onlink'], metric: 1024 },
    { type: 'blackhole', dst: 'fd00:244:1::/64', dev: 'lo', protocol: 'boot' },
    { dst: 'fd00:9::/64', dev: undefined, gateway: undefined },
  ]);
});

t.test('readSnapshot refuses an ip that prints no JSON', async (t) => {
  FakeIp.install(t).answer('-4 link show', '1: lo: <LOOPBACK>');
  mentions(t, await refusal(t, () => readSnapshot('ipv4')), 'ip -json -4', 'install iproute2');
});
