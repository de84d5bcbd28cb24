import t from 'tap';
import { formatSubnetKey, parseSubnetKey } from '../../../../../src/control/leases/etcd/subnet-key.js';

t.test('parseSubnetKey and formatSubnetKey are inverse for one and two families', (t) => {
  for (const name of ['10.12.13.0-24', '10.12.13.0-24&fd00:12:13::-56', '10.0.0.0-8', '10.12.13.2-31']) {
    const key = parseSubnetKey(name);
    t.ok(key, name);
    t.equal(key && formatSubnetKey(key), name);
  }
  t.same(parseSubnetKey('10.12.13.0-24&fd00:12:13::-56'), {
    ipv4: { base: 0x0a0c0d00, prefixLength: 24 },
    ipv6: { base: 0xfd000012001300000000000000000000n, prefixLength: 56 },
  });
  t.end();
});

t.test('formatSubnetKey writes IPv6 addresses as Go does', (t) => {
  const ipv4 = { base: 0x0a0c0d00, prefixLength: 24 };
  for (const [base, text] of [
    [0x20010db8000000000001000000000000n, '2001:db8:0:0:1::'],
    [0xfd00000000000000n << 64n, 'fd00::'],
    [0xfd000001000200030000000000000000n, 'fd00:1:2:3::'],
    [0x20010db8000100020003000400050000n, '2001:db8:1:2:3:4:5:0'],
  ] as const) {
    t.equal(formatSubnetKey({ ipv4, ipv6: { base, prefixLength: 112 } }), `10.12.13.0-24&${text}-112`);
  }
  t.end();
});

t.test('parseSubnetKey refuses other names', (t) => {
  for (const name of [
    '10',
    '10.12.13.0',
    '10.12.13-24',
    '10.12.13.300-24',
    '10.12.13.0-24hi',
    '&2001::-56',
    '10.12.13.0-24&:12:13:-56',
    '10.12.13.0-24&20011::-56',
    '10.12.13.0-24&2001-56',
    '10.12.13.0-24&2001::',
    '10.12.13.0-24&2001::-56hi',
    '',
    '10.12.13.0-32',
    '10.12.13.0-0',
    '10.12.13.7-24',
    'x10.12.13.0-24',
    '10.12.13.0-24&fd00::1-56',
    '10.12.13.0-24&fd00::-128',
    '10.12.13.0-24&fe80::%eth0-64',
  ]) {
    t.equal(parseSubnetKey(name), undefined, name);
  }
  t.end();
});
