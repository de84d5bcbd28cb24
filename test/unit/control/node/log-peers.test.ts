import t from 'tap';
import { followPeers } from '../../../../src/control/node/log-peers.js';
import { catchLog } from '../../../support/catch-log.js';
import { leaseOf } from '../../../support/leases.js';

const lease = (i: number, mac = i) =>
  leaseOf(`10.244.${i}.0/24`, `192.168.77.${i}`, `02:00:00:00:00:0${mac}`);

t.test('followPeers logs what changes', async (t) => {
  const log = catchLog(t);
  followPeers([lease(2), lease(3)], [lease(3, 4), lease(5)]);
  t.same(log, [
    'I removing subnet: 10.244.2.0/24',
    'I adding subnet: 10.244.3.0/24 PublicIP: 192.168.77.3 VtepMAC: 02:00:00:00:00:04',
    'I adding subnet: 10.244.5.0/24 PublicIP: 192.168.77.5 VtepMAC: 02:00:00:00:00:05',
  ]);
});

t.test('followPeers keeps the objects of leases that do not change', async (t) => {
  catchLog(t);
  const before = [lease(2), lease(3)];
  const after = followPeers(before, [lease(2), lease(3, 4)]);
  t.equal(after[0], before[0]);
  t.not(after[1], before[1]);
});

t.test('followPeers returns the set before if nothing changes', async (t) => {
  const log = catchLog(t);
  const before = [lease(2), lease(3)];
  t.equal(followPeers(before, [lease(3), lease(2)]), before);
  t.same(log, []);
});

t.test('followPeers treats another prefix length as another subnet', async (t) => {
  const log = catchLog(t);
  const wide = leaseOf('10.244.2.0/23', '192.168.77.2', '02:00:00:00:00:02');
  t.same(followPeers([lease(2)], [wide]), [wide]);
  t.equal(log.length, 2);
});
