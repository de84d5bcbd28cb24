import t from 'tap';
import { directlyReachable } from '../../../../src/control/kernel/direct-routes.js';
import { FakeIp } from '../../../support/fake-ip.js';

const ADDRESSES = { direct: 0xc0a84d02, behind: 0x0a080002, vpn: 0x0a080003 };

t.test('directlyReachable accepts neither a gateway nor a link without neighbours', async (t) => {
  const ip = FakeIp.install(t);
  ip.answer('-force link show', [
    { ifname: 'eth0', flags: ['BROADCAST', 'MULTICAST', 'UP', 'LOWER_UP'] },
    { ifname: 'wg0', flags: ['POINTOPOINT', 'NOARP', 'UP', 'LOWER_UP'] },
  ]);
  ip.answer('-force route get 192.168.77.2', [{ dst: '192.168.77.2', dev: 'eth0' }]);
  ip.answer('-force route get 10.8.0.2', [{ dst: '10.8.0.2', gateway: '192.168.77.9', dev: 'eth0' }]);
  ip.answer('-force route get 10.8.0.3', [{ dst: '10.8.0.3', dev: 'wg0' }]);
  t.same(await directlyReachable(Object.values(ADDRESSES)), {
    direct: new Set([ADDRESSES.direct]),
    unshared: ['wg0'],
  });
});

t.test('directlyReachable starts no process without addresses', async (t) => {
  const ip = FakeIp.install(t);
  t.same(await directlyReachable([]), { direct: new Set(), unshared: [] });
  t.equal(ip.reads, 0);
});
