import t from 'tap';
import { COUNTER } from '../../../../src/dataplane/counters.js';
import { AddressTable } from '../../../../src/dataplane/tunnel/address-table.js';
import {
  activityIn,
  PeerTraffic,
  SENDING_PAUSE_MS,
  sumActivity,
} from '../../../../src/dataplane/tunnel/peer-traffic.js';
import { hex } from '../../../support/bytes.js';

t.test('PeerTraffic counts packets and bytes of each number in both directions', async (t) => {
  const traffic = new PeerTraffic();
  const [a, b] = [traffic.add(7), traffic.add(7)];
  traffic.countTx(a, 2, 300);
  traffic.countTx(a, 1, 50);
  traffic.countRx(b, 4, 99);
  t.same(traffic.read(a), { txPackets: 3, txBytes: 350, rxPackets: 0, rxBytes: 0 });
  t.same(traffic.read(b), { txPackets: 0, txBytes: 0, rxPackets: 4, rxBytes: 99 });
});

t.test('PeerTraffic assigns a freed number again, with counts of 0, and grows', async (t) => {
  const traffic = new PeerTraffic();
  const first = traffic.add(7);
  traffic.countTx(first, 1, 1);
  traffic.delete(first);
  t.equal(traffic.add(7), first);
  t.equal(traffic.read(first).txPackets, 0);
  const others = Array.from({ length: 1000 }, () => traffic.add(7));
  for (const number of others) traffic.countRx(number, number, 1);
  t.ok(others.every((number) => traffic.read(number).rxPackets === number));
});

t.test('AddressTable.lookup finds the number of an address, which all its keys share', async (t) => {
  const fdb = new AddressTable();
  for (let i = 0; i < 200; i++) fdb.set(0x0200, i, 1000 + (i >> 1));
  const numbers = new Set<number>();
  for (let i = 0; i < 200; i++) {
    t.equal(fdb.lookup(0x0200, i), 1000 + (i >> 1));
    t.equal(fdb.found, fdb.numberOf(1000 + (i >> 1)));
    numbers.add(fdb.found);
  }
  t.equal(numbers.size, 100);
  fdb.lookup(0x0300, 1);
  t.equal(fdb.found, 0, 'no entry has the key');
  for (let i = 0; i < 200; i += 2) fdb.delete(0x0200, i);
  for (let i = 1; i < 200; i += 2) {
    fdb.lookup(0x0200, i);
    t.equal(fdb.found, fdb.numberOf(1000 + (i >> 1)));
  }
});

t.test('AddressTable keeps the counts of an address until its last entry is gone', async (t) => {
  const fdb = new AddressTable();
  fdb.set(0x0200, 1, 7);
  fdb.set(0x0200, 2, 7);
  fdb.traffic.countTx(fdb.numberOf(7), 5, 5);
  fdb.delete(0x0200, 1);
  fdb.set(0x0200, 2, 7);
  t.equal(fdb.traffic.read(fdb.numberOf(7)).txPackets, 5);
  fdb.set(0x0200, 2, 8);
  t.same([fdb.numberOf(7), fdb.traffic.read(fdb.numberOf(8)).txPackets], [0, 0]);
});

t.test('sumActivity adds the threads peer by peer', async (t) => {
  const one = { address: [0, 0, 0, 1] as const, txPackets: 1, txBytes: 2, rxPackets: 3, rxBytes: 4 };
  const other = { ...one, address: 5 };
  t.same(sumActivity([one, other, one]), [
    { address: [0, 0, 0, 1], txPackets: 2, txBytes: 4, rxPackets: 6, rxBytes: 8 },
    other,
  ]);
});

/** A clock that a test sets. */
function fakeTraffic() {
  const clock = { time: 5000, now: () => clock.time };
  const traffic = new PeerTraffic(clock);
  const at = (time: number): PeerTraffic => {
    clock.time = time;
    traffic.readClock();
    return traffic;
  };
  const activity = (received = clock.time) => activityIn(traffic.share(), received);
  return { traffic, at, activity };
}

t.test("PeerTraffic notes when a peer was heard, sent to and dropped, by the reader's clock", async (t) => {
  const { traffic, at, activity } = fakeTraffic();
  const peer = traffic.add(9);
  t.same(activity(), [], 'a peer without packets is not listed');
  at(6000).countTx(peer, 1, 10);
  t.match(activity(), [
    { address: 9, sentAt: 6000, sendingSince: 6000, heardAt: undefined, drop: undefined },
  ]);
  at(7000).countRx(peer, 1, 10);
  at(8000).noteDrop(peer, COUNTER.rx_drop_ecn);
  t.match(activity(108_000), [
    { heardAt: 107_000, sentAt: 106_000, drop: { reason: 'rx_drop_ecn', at: 108_000 } },
  ]);
});

t.test('PeerTraffic begins another period of sending after a pause', async (t) => {
  const { traffic, at, activity } = fakeTraffic();
  const peer = traffic.add(9);
  for (const time of [6000, 6000 + SENDING_PAUSE_MS - 1]) at(time).countTx(peer, 1, 1);
  t.match(activity(), [{ sendingSince: 6000 }]);
  at(6000 + 3 * SENDING_PAUSE_MS).countTx(peer, 1, 1);
  t.match(activity(), [{ sendingSince: 6000 + 3 * SENDING_PAUSE_MS }]);
});

t.test(
  'PeerTraffic.share returns memory in which later packets appear; a table that has grown is another one',
  async (t) => {
    const { traffic } = fakeTraffic();
    const peer = traffic.add(9);
    const table = structuredClone(traffic.share());
    traffic.countRx(peer, 2, 30);
    t.match(activityIn(table, 0), [{ address: 9, rxPackets: 2, rxBytes: 30 }]);
    for (let address = 10; address < 100; address++) traffic.add(address);
    traffic.countRx(peer, 1, 10);
    t.match(activityIn(traffic.share(), 0), [{ address: 9, rxPackets: 3, rxBytes: 40 }]);
  },
);

t.test('activityIn reads IPv6 addresses from the words of their numbers', async (t) => {
  const { traffic, activity } = fakeTraffic();
  traffic.countRx(traffic.add(1), 1, 1);
  const bytes = hex(`${'00'.repeat(16)} fd000000 00000000 00000000 00000001`);
  const words = new Int32Array(bytes.slice().buffer);
  t.match(activityIn({ ...traffic.share(), words }, 0), [{ address: [0xfd000000 | 0, 0, 0, 1] }]);
  t.equal(activity().length, 1);
});

t.test('sumActivity keeps the last times of all threads', async (t) => {
  const counts = { address: 5, txPackets: 1, txBytes: 2, rxPackets: 3, rxBytes: 4 };
  const early = { ...counts, heardAt: 900, sentAt: 1000, sendingSince: 100 };
  const drop = { reason: 'rx_drop_ecn', at: 40 } as const;
  const late = { ...counts, heardAt: 20, sentAt: 2000, sendingSince: 1500, drop };
  for (const parts of [
    [early, late],
    [late, early],
  ])
    t.match(sumActivity(parts), [{ heardAt: 900, sentAt: 2000, sendingSince: 100, drop }]);
  const pause = { ...late, sentAt: 900_000, sendingSince: 890_000 };
  t.match(sumActivity([early, pause]), [{ sendingSince: 890_000 }], 'the earlier period ended');
});

t.test('AddressTable.noteDrop notes the drop for a present address alone', async (t) => {
  const fdb = new AddressTable();
  fdb.set(0x0200, 1, 7);
  fdb.noteDrop(8, COUNTER.rx_drop_ecn);
  t.same(activityIn(fdb.traffic.share(), 0), []);
  fdb.noteDrop(7, COUNTER.rx_drop_ecn);
  t.match(activityIn(fdb.traffic.share(), 0), [{ address: 7, drop: { reason: 'rx_drop_ecn' } }]);
});
