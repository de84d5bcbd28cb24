import t from 'tap';
import { Ipv6Addresses } from '../../../../src/dataplane/tunnel/ipv6-addresses.js';
import { hex, ipv6, toHex } from '../../../support/bytes.js';

function wordsOf(text: string): Int32Array {
  return new Int32Array(hex(text).buffer);
}

t.test('Ipv6Addresses.find reads 16 bytes in network order', async (t) => {
  const addresses = new Ipv6Addresses();
  const number = addresses.add(ipv6('2001:db8:1:2:3:4:5:6'));
  t.equal(addresses.find(wordsOf('20010db8000100020003000400050006'), 0), number);
  t.equal(addresses.find(wordsOf('eeeeeeee 20010db8000100020003000400050006'), 1), number);
  t.equal(addresses.find(wordsOf('20010db8000100020003000400050007'), 0), 0);
  const written = wordsOf('ff'.repeat(24));
  addresses.write(number, written, 1);
  t.equal(toHex(new Uint8Array(written.buffer)), `ffffffff${'20010db8000100020003000400050006'}ffffffff`);
});

t.test('Ipv6Addresses.add returns numbers from 1 up, and one number per address', async (t) => {
  const addresses = new Ipv6Addresses();
  t.same(
    ['fd00::1', 'fd00::2', 'fd00::1'].map((text) => addresses.add(ipv6(text))),
    [1, 2, 1],
  );
  t.equal(addresses.size, 2);
});

t.test('Ipv6Addresses reuses the number of a deleted address', async (t) => {
  const addresses = new Ipv6Addresses();
  const first = addresses.add(ipv6('fd00::1'));
  addresses.add(ipv6('fd00::2'));
  addresses.delete(first);
  t.equal(addresses.add(ipv6('fd00::3')), first);
  t.equal(addresses.add(ipv6('fd00::1')), 3);
});

t.test('Ipv6Addresses.add refuses ::', async (t) => {
  t.throws(() => new Ipv6Addresses().add(ipv6('::')), RangeError);
});

t.test(
  'Ipv6Addresses.source numbers the 16 latest unknown addresses, never with a used number',
  async (t) => {
    const addresses = new Ipv6Addresses();
    const known = addresses.add(ipv6('fd00::1'));
    const nth = (index: number): Int32Array =>
      wordsOf(`fd00${'0'.repeat(24)}${(index + 0x1000).toString(16)}`);
    t.equal(addresses.source(wordsOf('fd000000000000000000000000000001'), 0), known);
    t.same(
      [0, 1, 0, 1].map((index) => addresses.source(nth(index), 0)),
      [-1, -2, -1, -2],
    );
    t.same(addresses.addressOf(-2), ipv6('fd00::1001'));
    for (let index = 2; index < 18; index++) t.equal(addresses.source(nth(index), 0), -1 - index);
    t.equal(addresses.source(nth(17), 0), -18, 'still there');
    t.equal(addresses.source(nth(0), 0), -19, 'replaced meanwhile');
    t.same(addresses.addressOf(known), ipv6('fd00::1'));
  },
);
