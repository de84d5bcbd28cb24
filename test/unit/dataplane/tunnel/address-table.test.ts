import t from 'tap';
import { AddressTable } from '../../../../src/dataplane/tunnel/address-table.js';

/** Returns a MAC like those of a cluster of Weft nodes: 02:xx and four bytes of any value. */
function nth(index: number): [high: number, low: number] {
  return [0x0200 | (index & 0xff), Math.imul(index, 0x9e3779b1)];
}

t.test('AddressTable returns 0 for every key while it is empty', async (t) => {
  const fdb = new AddressTable();
  t.equal(fdb.size, 0);
  t.equal(fdb.lookup(0x0200, 1), 0);
  t.equal(fdb.lookup(0, 0), 0);
  t.equal(fdb.hasAddress(0x0a000001), false);
  t.equal(fdb.delete(0x0200, 1), false);
});

t.test('AddressTable compares both parts of a key', async (t) => {
  const fdb = new AddressTable();
  fdb.set(0x0200, 1, 0x0a000001);
  t.equal(fdb.lookup(0x0200, 1), 0x0a000001);
  t.equal(fdb.lookup(0x0201, 1), 0);
  t.equal(fdb.lookup(0x0200, 2), 0);
  t.equal(fdb.lookup(1, 0x0200), 0);
  t.equal(fdb.size, 1);
});

t.test('AddressTable supports keys and addresses with the highest bit set', async (t) => {
  const fdb = new AddressTable();
  fdb.set(0xfeff, -1, 0xc0a84d01 | 0);
  fdb.set(0xfeff, -0x80000000, 0xdfffffff | 0);
  t.equal(fdb.lookup(0xfeff, -1), 0xc0a84d01 | 0);
  t.equal(fdb.lookup(0xfeff, -0x80000000), 0xdfffffff | 0);
  t.equal(fdb.hasAddress(0xc0a84d01 | 0), true);
});

t.test('AddressTable supports a key of zeros', async (t) => {
  const fdb = new AddressTable();
  fdb.set(0, 0, 7);
  t.equal(fdb.lookup(0, 0), 7);
  t.equal(fdb.delete(0, 0), true);
  t.equal(fdb.lookup(0, 0), 0);
});

t.test('AddressTable.set replaces the address of an entry', async (t) => {
  const fdb = new AddressTable();
  fdb.set(0x0200, 1, 100);
  fdb.set(0x0200, 1, 200);
  t.equal(fdb.lookup(0x0200, 1), 200);
  t.equal(fdb.size, 1);
  t.equal(fdb.hasAddress(100), false);
  t.equal(fdb.hasAddress(200), true);
});

t.test('AddressTable.set refuses the address 0', async (t) => {
  t.throws(() => new AddressTable().set(0x0200, 1, 0), RangeError);
});

t.test('AddressTable.delete removes an entry once', async (t) => {
  const fdb = new AddressTable();
  fdb.set(0x0200, 1, 100);
  t.equal(fdb.delete(0x0200, 1), true);
  t.equal(fdb.delete(0x0200, 1), false);
  t.equal(fdb.lookup(0x0200, 1), 0);
  t.equal(fdb.size, 0);
});

t.test('AddressTable.hasAddress is true as long as an entry has the address', async (t) => {
  const fdb = new AddressTable();
  fdb.set(0x0200, 1, 100);
  fdb.set(0x0200, 2, 100);
  fdb.set(0x0200, 2, 100);
  fdb.delete(0x0200, 1);
  t.equal(fdb.hasAddress(100), true, 'one of two entries is left; setting it twice counted once');
  fdb.set(0x0200, 2, 200);
  t.equal(fdb.hasAddress(100), false, 'the last one moved');
  fdb.delete(0x0200, 2);
  t.equal(fdb.hasAddress(200), false, 'the last one went');
});

t.test('AddressTable finds each of ten thousand entries', async (t) => {
  const fdb = new AddressTable();
  const count = 10_000;
  for (let i = 1; i <= count; i++) fdb.set(...nth(i), i);
  t.equal(fdb.size, count);
  let wrong = 0;
  for (let i = 1; i <= count; i++) if (fdb.lookup(...nth(i)) !== i) wrong++;
  for (let i = count + 1; i <= 2 * count; i++) if (fdb.lookup(...nth(i)) !== 0) wrong++;
  t.equal(wrong, 0);
});

t.test('AddressTable distributes consecutive MACs over the table', async (t) => {
  const fdb = new AddressTable();
  for (let i = 1; i <= 10_000; i++) fdb.set(0x0200, i, i);
  let wrong = 0;
  for (let i = 1; i <= 10_000; i++) if (fdb.lookup(0x0200, i) !== i) wrong++;
  t.equal(wrong, 0);
});

t.test('AddressTable.delete keeps every other entry findable, for every order of deletion', async (t) => {
  // Just before it grows the table is fullest: probe runs are longest and wrap around its end.
  for (const count of [2, 31, 32, 64, 512]) {
    for (const step of [1, 3, 7, 11]) {
      const fdb = new AddressTable();
      for (let i = 0; i < count; i++) fdb.set(...nth(i), i + 1);
      const left = new Set(Array.from({ length: count }, (_, index) => index));
      for (let i = 0; left.size > 0; i = (i + step) % count) {
        while (!left.has(i)) i = (i + 1) % count;
        if (!fdb.delete(...nth(i))) t.fail(`${i} of ${count} was not there`);
        left.delete(i);
        if (fdb.lookup(...nth(i)) !== 0) t.fail(`${i} of ${count} is still there`);
        for (const other of left) {
          if (fdb.lookup(...nth(other)) !== other + 1) t.fail(`${other} of ${count} was lost with ${i}`);
        }
      }
      t.equal(fdb.size, 0);
    }
  }
});

t.test('AddressTable accepts entries again after all were deleted', async (t) => {
  const fdb = new AddressTable();
  for (let round = 1; round <= 5; round++) {
    for (let i = 1; i <= 200; i++) fdb.set(...nth(i), i * round);
    const found = Array.from({ length: 200 }, (_, index) => fdb.lookup(...nth(index + 1)));
    t.same(
      found,
      found.map((_, index) => (index + 1) * round),
    );
    for (let i = 1; i <= 200; i++) fdb.delete(...nth(i));
    t.equal(fdb.size, 0);
  }
});
