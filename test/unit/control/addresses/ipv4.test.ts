import t from 'tap';
import { formatSubnet, holds } from '../../../../src/control/addresses/address.js';
import {
  formatIpv4,
  isIpv6,
  isNodeAddress,
  lastAddress,
  networkOf,
  parseCidr,
  parseIpv4,
} from '../../../../src/control/addresses/ipv4.js';

t.test('an address is an unsigned number in host order', async (t) => {
  t.equal(parseIpv4('0.0.0.0'), 0);
  t.equal(parseIpv4('10.244.1.2'), 0x0af40102);
  t.equal(parseIpv4('192.168.77.1'), 0xc0a84d01);
  t.equal(parseIpv4('255.255.255.255'), 0xffffffff);
});

t.test('only four decimal parts are an address', async (t) => {
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
    '::1',
    'localhost',
  ]) {
    t.equal(parseIpv4(text), undefined, JSON.stringify(text));
  }
});

t.test('an address is written in four decimal parts, signed or unsigned', async (t) => {
  t.equal(formatIpv4(0), '0.0.0.0');
  t.equal(formatIpv4(0xc0a84d01), '192.168.77.1');
  t.equal(formatIpv4(0xc0a84d01 | 0), '192.168.77.1');
  t.equal(formatIpv4(0xffffffff), '255.255.255.255');
});

t.test('the network of an address has the host bits zero', async (t) => {
  t.equal(networkOf(0xc0a84d81, 24), 0xc0a84d00);
  t.equal(networkOf(0xc0a84d81, 32), 0xc0a84d81);
  t.equal(networkOf(0xc0a84d81, 25), 0xc0a84d80);
  t.equal(networkOf(0xffffffff, 1), 0x80000000);
  t.equal(networkOf(0xffffffff, 0), 0);
});

t.test('a CIDR keeps its host bits', async (t) => {
  t.same(parseCidr('10.244.1.7/24'), { address: 0x0af40107, prefix: 24 });
  t.same(parseCidr('0.0.0.0/0'), { address: 0, prefix: 0 });
  t.same(parseCidr('10.0.0.1/32'), { address: 0x0a000001, prefix: 32 });
});

t.test('only an address, a slash and 0 to 32 are a CIDR', async (t) => {
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
    'fc00::/48',
    '/8',
  ]) {
    t.equal(parseCidr(text), undefined, JSON.stringify(text));
  }
});

t.test('a network is written as base and prefix', async (t) => {
  t.equal(formatSubnet({ base: 0x0af40000, prefix: 16 }), '10.244.0.0/16');
});

t.test('the last address of a network', async (t) => {
  t.equal(lastAddress({ base: 0x0af40100, prefix: 24 }), 0x0af401ff);
  t.equal(lastAddress({ base: 0x0af40101, prefix: 32 }), 0x0af40101);
  t.equal(lastAddress({ base: 0, prefix: 0 }), 0xffffffff);
  t.equal(lastAddress({ base: 0x80000000, prefix: 1 }), 0xffffffff);
});

t.test('a network contains itself and what is smaller inside it', async (t) => {
  const outer = { base: 0x0af40000, prefix: 16 };
  t.equal(holds(outer, outer), true);
  t.equal(holds(outer, { base: 0x0af4ff00, prefix: 24 }), true);
  t.equal(holds(outer, { base: 0x0af50000, prefix: 24 }), false);
  t.equal(holds(outer, { base: 0x0af40000, prefix: 15 }), false);
  t.equal(holds({ base: 0, prefix: 0 }, outer), true);
});

t.test('IPv6 is recognised, to be named in messages', async (t) => {
  for (const text of ['::1', 'fc00::/48', '2001:db8::1', '::ffff:10.0.0.1'])
    t.equal(isIpv6(text), true, text);
  for (const text of ['', '10.0.0.1', '10.0.0.0/8', 'text', ':']) t.equal(isIpv6(text), false, text);
});

t.test('a node can have any unicast address', async (t) => {
  for (const text of [
    '1.0.0.1',
    '10.0.0.1',
    '126.255.255.255',
    '128.0.0.1',
    '192.168.77.1',
    '223.255.255.254',
  ]) {
    t.equal(isNodeAddress(parseIpv4(text) as number), true, text);
  }
  for (const text of [
    '0.0.0.0',
    '0.1.2.3',
    '127.0.0.1',
    '224.0.0.1',
    '239.1.1.1',
    '240.0.0.1',
    '255.255.255.255',
  ]) {
    t.equal(isNodeAddress(parseIpv4(text) as number), false, text);
  }
});
