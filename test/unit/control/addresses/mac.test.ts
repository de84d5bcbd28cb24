import t from 'tap';
import { formatMac, parseVtepMac, splitMac } from '../../../../src/control/addresses/mac.js';

t.test('parseVtepMac accepts six pairs with colons and returns lower case', async (t) => {
  t.equal(parseVtepMac('02:00:00:00:00:01'), '02:00:00:00:00:01');
  t.equal(parseVtepMac('E6:28:E5:CD:55:90'), 'e6:28:e5:cd:55:90');
});

t.test('parseVtepMac refuses other spellings, multicast and zero', async (t) => {
  for (const text of [
    '',
    '02:00:00:00:00',
    '02:00:00:00:00:01:02',
    '02-00-00-00-00-01',
    '020000000001',
    '2:0:0:0:0:1',
    '0g:00:00:00:00:01',
    ' 02:00:00:00:00:01',
    '01:00:5e:00:00:01',
    '33:33:00:00:00:01',
    'ff:ff:ff:ff:ff:ff',
    '00:00:00:00:00:00',
  ]) {
    t.equal(parseVtepMac(text), undefined, JSON.stringify(text));
  }
});

t.test('splitMac returns two bytes unsigned and four bytes signed', async (t) => {
  t.same(splitMac('e6:28:e5:cd:55:90'), { high: 0xe628, low: 0xe5cd5590 | 0 });
  t.same(splitMac('02:00:00:00:00:01'), { high: 0x0200, low: 1 });
});

t.test('formatMac writes a number below 2^48 as a MAC', async (t) => {
  t.equal(formatMac(0xe628e5cd5590), 'e6:28:e5:cd:55:90');
  t.equal(formatMac(1), '00:00:00:00:00:01');
  t.equal(formatMac(2 ** 48 - 1), 'ff:ff:ff:ff:ff:ff');
});
