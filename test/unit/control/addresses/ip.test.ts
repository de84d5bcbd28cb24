import t from 'tap';
import {
  familyOf,
  formatIp,
  isLinkLocal,
  isNodeAddress,
  nextIp,
  parseIp,
  toUnderlay,
} from '../../../../src/control/addresses/ip.js';
import { ip } from '../../../support/addresses.js';

t.test('parseIp returns an IPv4 address as an unsigned number in host order', async (t) => {
  t.equal(parseIp('0.0.0.0'), 0);
  t.equal(parseIp('10.244.1.2'), 0x0af40102);
  t.equal(parseIp('192.168.77.1'), 0xc0a84d01);
  t.equal(parseIp('255.255.255.255'), 0xffffffff);
});

t.test('parseIp returns an IPv6 address as an unsigned bigint', async (t) => {
  t.equal(parseIp('::1'), 1n);
  t.equal(parseIp('FD00::3'), (0xfdn << 120n) | 3n);
  t.equal(parseIp('::ffff:10.0.0.1'), 0xffff_0a00_0001n);
});

t.test('parseIp refuses text other than four decimal parts or IPv6 groups', async (t) => {
  for (const text of [
    '',
    ' ',
    '10',
    '10.1',
    '10.0.1',
    '10.0.0.1.2',
    '10.0.0.256',
    '10.0.0.-1',
    '10.0.0.1 ',
    ' 10.0.0.1',
    '10.0.0.1/24',
    '0x0a.0.0.1',
    '10.0.0.010',
    '1e1.0.0.1',
    '10.0.0.',
    'localhost',
    'fd00::/64',
    'fe80::1%eth0',
    ':',
    '1::2::3',
  ]) {
    t.equal(parseIp(text), undefined, JSON.stringify(text));
  }
});

t.test('parseIp refuses an address of another family than the requested one', async (t) => {
  t.equal(parseIp('10.0.0.1', 'ipv6'), undefined);
  t.equal(parseIp('::1', 'ipv4'), undefined);
  t.equal(parseIp('10.0.0.1', 'ipv4'), 0x0a000001);
  t.equal(parseIp('::1', 'ipv6'), 1n);
  t.equal(familyOf(1n), 'ipv6');
  t.equal(familyOf(1), 'ipv4');
});

t.test('formatIp writes IPv4 in four decimal parts, signed or unsigned', async (t) => {
  t.equal(formatIp(0), '0.0.0.0');
  t.equal(formatIp(0xc0a84d01), '192.168.77.1');
  t.equal(formatIp(0xc0a84d01 | 0), '192.168.77.1');
  t.equal(formatIp(0xffffffff), '255.255.255.255');
});

t.test('formatIp writes IPv6 as RFC 5952 defines', async (t) => {
  for (const [text, canonical] of [
    ['0:0:0:0:0:0:0:1', '::1'],
    ['FD00:0:0:1::', 'fd00:0:0:1::'],
    ['2001:db8:0:1:1:1:1:1', '2001:db8:0:1:1:1:1:1'],
  ] as const) {
    t.equal(formatIp(ip(text)), canonical);
  }
});

t.test('nextIp returns the address after this one', async (t) => {
  t.equal(nextIp(0x0af400ff), 0x0af40100);
  t.equal(nextIp((1n << 64n) - 1n), 1n << 64n);
});

t.test('isNodeAddress accepts only addresses that peers can send to', async (t) => {
  for (const text of ['10.0.0.1', '192.168.77.1', '223.255.255.255', '169.254.1.1', 'fd00::1', '2001:db8::1'])
    t.equal(isNodeAddress(ip(text)), true, text);
  for (const text of [
    ...['0.0.0.0', '0.1.2.3', '127.0.0.1', '224.0.0.1', '255.255.255.255'],
    ...['::', '::1', '::ffff:10.0.0.1', 'fe80::1', 'febf::1', 'ff02::1'],
  ])
    t.equal(isNodeAddress(ip(text)), false, text);
});

t.test('isLinkLocal accepts 169.254.0.0/16 and fe80::/10', async (t) => {
  for (const text of ['169.254.0.1', '169.254.255.255', 'fe80::1', 'febf::1'])
    t.equal(isLinkLocal(ip(text)), true, text);
  for (const text of ['169.253.0.1', '10.0.0.1', 'fec0::1', 'fd00::1'])
    t.equal(isLinkLocal(ip(text)), false, text);
});

t.test('toUnderlay returns signed 32-bit words', async (t) => {
  t.equal(toUnderlay(0xc0a84d01), 0xc0a84d01 | 0);
  t.same(toUnderlay(ip('fd00::ffff:ffff')), [0xfd000000 | 0, 0, 0, -1]);
});
