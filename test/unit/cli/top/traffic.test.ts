import t from 'tap';
import { Meter, Rate } from '../../../../src/cli/top/meter.js';
import { rank } from '../../../../src/cli/top/ranking.js';
import { Traffic } from '../../../../src/cli/top/traffic.js';
import { peerStatus, STATUS } from '../../../support/status.js';
import { trafficOf } from '../../../support/top-scenario.js';

t.test('Rate is the rise per second between two readings', async (t) => {
  const rate = new Rate();
  rate.read(1000, 0);
  t.equal(rate.value, undefined, 'one reading has no rate');
  rate.read(1600, 2);
  t.equal(rate.value, 300);
});

t.test('Rate of a counter that starts at 0 again is not negative', async (t) => {
  const rate = new Rate();
  rate.read(1000, 0);
  rate.read(40, 2);
  t.equal(rate.value, 20);
});

t.test('Rate continues with its last reading after a gap', async (t) => {
  const rate = new Rate();
  rate.read(1000, 0);
  rate.miss();
  t.equal(rate.value, undefined);
  rate.read(1100, 10);
  t.equal(rate.value, 10);
});

t.test('Meter without counters of bytes weighs packets', async (t) => {
  const meter = new Meter();
  meter.read({ txPackets: 0, rxPackets: 0 }, 0);
  meter.read({ txPackets: 100, rxPackets: 50 }, 1);
  t.equal(meter.txBytes.value, undefined);
  t.ok(meter.weight > 0);
  t.same(meter.packets.history, [undefined, 150]);
  t.same(meter.bytes.history, [undefined, undefined]);
});

t.test('rank moves an item up past those whose weight it exceeds by a tenth', async (t) => {
  const order = (...weights: number[]) => {
    const items = weights.map((weight) => ({ weight }));
    rank(items);
    return items.map(({ weight }) => weight);
  };
  t.same(order(100, 109, 0, 0), [100, 109, 0, 0], 'less than a tenth keeps its place');
  t.same(order(0, 5, 0, 7, 100), [100, 7, 5, 0, 0]);
  t.same(order(100, 109, 118, 127), [118, 127, 100, 109], 'no item has a tenth more than one above it');
});

t.test('Traffic orders peers by their traffic, and keeps the order of equal ones', async (t) => {
  const order = trafficOf({ answers: 4, peers: 6, tx: (peer) => [0, 5, 100, 5, 0, 7][peer], rx: () => 0 });
  t.same(
    order.peers.map(({ peer }) => peer.publicIP),
    [4, 7, 3, 5, 2, 6].map((index) => `192.168.77.${index}`),
  );
});

t.test('Traffic keeps the order while rates alternate', async (t) => {
  const traffic = trafficOf({
    answers: 40,
    peers: 2,
    tx: (peer, second) => (second % 2 === peer ? 130 : 100),
    rx: () => 0,
  });
  const before = traffic.peers.map(({ peer }) => peer.publicIP);
  const more = trafficOf({
    answers: 41,
    peers: 2,
    tx: (peer, second) => (second % 2 === peer ? 130 : 100),
    rx: () => 0,
  });
  t.same(
    more.peers.map(({ peer }) => peer.publicIP),
    before,
  );
});

t.test('Traffic forgets removed peers and adds new ones', async (t) => {
  const traffic = new Traffic();
  const peers = [2, 3].map((index) => peerStatus(index, {}));
  traffic.read({ ...STATUS, peers }, 0);
  traffic.read({ ...STATUS, peers: [peerStatus(3, {}), peerStatus(4, {})] }, 1000);
  t.same(
    traffic.peers.map(({ peer }) => peer.publicIP),
    ['192.168.77.3', '192.168.77.4'],
  );
});

t.test('Traffic adds the counters of both families', async (t) => {
  const traffic = new Traffic();
  const answer = (count: number) => ({
    ...STATUS,
    counters: { tx_packets: count, tx_drop_runt: count },
    ipv6: { ...STATUS, counters: { tx_packets: count, tx_drop_runt: 2 * count } },
  });
  traffic.read(answer(10), 0);
  traffic.read(answer(20), 1000);
  t.equal(traffic.total.txPackets.value, 20);
  t.equal(traffic.txDrops.value, 30);
  t.same(
    traffic.drops.map(({ name, total }) => [name, total]),
    [
      ['ipv6 tx_drop_runt', 40],
      ['tx_drop_runt', 20],
    ],
  );
});

t.test('Traffic lists the drops that rose last first, and none that is zero', async (t) => {
  const traffic = new Traffic();
  const read = (counters: Record<string, number>, now: number) => traffic.read({ ...STATUS, counters }, now);
  read({ rx_drop_a: 4, rx_drop_b: 0, rx_drop_c: 0, rx_drop_d: 0 }, 0);
  read({ rx_drop_a: 4, rx_drop_b: 1, rx_drop_c: 0, rx_drop_d: 0 }, 1000);
  read({ rx_drop_a: 4, rx_drop_b: 1, rx_drop_c: 7, rx_drop_d: 0 }, 2000);
  t.same(
    traffic.drops.map(({ name, roseAt }) => [name, roseAt]),
    [
      ['rx_drop_c', 2000],
      ['rx_drop_b', 1000],
      ['rx_drop_a', undefined],
    ],
  );
});

t.test('Traffic refuses an answer of another form', async (t) => {
  t.throws(() => new Traffic().read({ ...STATUS, peers: undefined as never }, 0), TypeError);
});
