import t from 'tap';
import {
  baseOf,
  contains,
  containsAddress,
  formatCidr,
  formatHost,
  lastOf,
  parseCidr,
} from '../../../../src/control/addresses/cidr.js';
import { cidr, ip } from '../../../support/addresses.js';

t.test('parseCidr clears the host bits', async (t) => {
  t.same(parseCidr('10.244.1.7/24'), { base: 0x0af40100, prefixLength: 24 });
  t.same(parseCidr('0.0.0.0/0'), { base: 0, prefixLength: 0 });
  t.same(parseCidr('10.0.0.1/32'), { base: 0x0a000001, prefixLength: 32 });
  t.same(parseCidr('fd00::7/64'), { base: 0xfdn << 120n, prefixLength: 64 });
  t.same(parseCidr('::1/128'), { base: 1n, prefixLength: 128 });
});

t.test('parseCidr refuses text other than an address, a slash and a length in range', async (t) => {
  for (const text of [
    '',
    '10.0.0.0',
    '10.0.0.0/',
    '10.0.0.0/33',
    '10.0.0.0/-1',
    '10.0.0.0/024',
    '10.0.0.0/8 ',
    '10.0.0.0/8.0',
    '10.0.0/8',
    '10.0.0.0/255.0.0.0',
    '/8',
    'fd00::/129',
    'fd00::%eth0/64',
  ]) {
    t.equal(parseCidr(text), undefined, JSON.stringify(text));
  }
});

t.test('parseCidr refuses a network of another family than the requested one', async (t) => {
  t.equal(parseCidr('10.0.0.0/8', 'ipv6'), undefined);
  t.equal(parseCidr('fd00::/64', 'ipv4'), undefined);
  t.same(parseCidr('10.0.0.0/8', 'ipv4'), { base: 0x0a000000, prefixLength: 8 });
});

t.test('formatCidr writes base and prefix length, formatHost an address as its own network', async (t) => {
  t.equal(formatCidr({ base: 0x0af40000, prefixLength: 16 }), '10.244.0.0/16');
  t.equal(formatCidr(cidr('FD00:0::/48')), 'fd00::/48');
  t.equal(formatHost(0x0af40100), '10.244.1.0/32');
  t.equal(formatHost(ip('fd00::')), 'fd00::/128');
});

t.test('baseOf returns the first address of a network', async (t) => {
  t.equal(baseOf(0xc0a84d81, 24), 0xc0a84d00);
  t.equal(baseOf(0xc0a84d81, 32), 0xc0a84d81);
  t.equal(baseOf(0xc0a84d81, 25), 0xc0a84d80);
  t.equal(baseOf(0xffffffff, 1), 0x80000000);
  t.equal(baseOf(0xffffffff, 0), 0);
  t.equal(baseOf(ip('fd00:1:2:3::9'), 48), ip('fd00:1:2::'));
  t.equal(baseOf(ip('fd00::1'), 0), 0n);
  t.equal(baseOf(ip('fd00::1'), 128), ip('fd00::1'));
});

t.test('lastOf returns the last address of a network', async (t) => {
  t.equal(lastOf(cidr('10.244.1.0/24')), 0x0af401ff);
  t.equal(lastOf(cidr('10.244.1.1/32')), 0x0af40101);
  t.equal(lastOf(cidr('0.0.0.0/0')), 0xffffffff);
  t.equal(lastOf(cidr('128.0.0.0/1')), 0xffffffff);
  t.equal(lastOf(cidr('fd00::/64')), ip('fd00::ffff:ffff:ffff:ffff'));
  t.equal(lastOf(cidr('::/0')), (1n << 128n) - 1n);
});

t.test('contains accepts a network itself and its parts, and no network of the other family', async (t) => {
  const outer = cidr('10.244.0.0/16');
  t.equal(contains(outer, outer), true);
  t.equal(contains(outer, cidr('10.244.255.0/24')), true);
  t.equal(contains(outer, cidr('10.245.0.0/24')), false);
  t.equal(contains(outer, cidr('10.244.0.0/15')), false);
  t.equal(contains(cidr('0.0.0.0/0'), outer), true);
  t.equal(contains(cidr('::/0'), outer), false);
  t.equal(contains(cidr('fd00::/48'), cidr('fd00:0:0:7::/64')), true);
  t.equal(contains(cidr('fd00::/48'), cidr('fd00:0:1::/64')), false);
  t.equal(containsAddress(outer, ip('10.244.3.4')), true);
  t.equal(containsAddress(outer, ip('10.245.3.4')), false);
  t.equal(containsAddress(cidr('::/0'), ip('10.244.3.4')), false);
});
