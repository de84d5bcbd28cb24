import t from 'tap';
import { AddressTable } from '../../../../src/dataplane/tunnel/address-table.js';
import { PeerTraffic, sumActivity } from '../../../../src/dataplane/tunnel/peer-traffic.js';

t.test('PeerTraffic counts packets and bytes of each number in both directions', async (t) => {
  const traffic = new PeerTraffic();
  const [a, b] = [traffic.add(), traffic.add()];
  traffic.countTx(a, 2, 300);
  traffic.countTx(a, 1, 50);
  traffic.countRx(b, 4, 99);
  t.same(traffic.read(a), { txPackets: 3, txBytes: 350, rxPackets: 0, rxBytes: 0 });
  t.same(traffic.read(b), { txPackets: 0, txBytes: 0, rxPackets: 4, rxBytes: 99 });
});

t.test('PeerTraffic assigns a freed number again, with counts of 0, and grows', async (t) => {
  const traffic = new PeerTraffic();
  const first = traffic.add();
  traffic.countTx(first, 1, 1);
  traffic.delete(first);
  t.equal(traffic.add(), first);
  t.equal(traffic.read(first).txPackets, 0);
  const others = Array.from({ length: 1000 }, () => traffic.add());
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
