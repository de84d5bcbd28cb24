import { createHash } from 'node:crypto';
import t from 'tap';
import { deriveVtepMac } from '../../../../src/control/leases/vtep-mac.js';
import { hex } from '../../../support/bytes.js';

// printf 'weft vtep 1 192.168.77.1' | sha256sum → ecb6dd6aa759…, and so on: the first byte's two lowest bits become 10.
t.test('deriveVtepMac returns the documented hash', async (t) => {
  t.equal(deriveVtepMac(1, '192.168.77.1'), 'ee:b6:dd:6a:a7:59');
  t.equal(deriveVtepMac(1, '192.168.77.2'), 'f2:36:54:ab:78:82');
  t.equal(deriveVtepMac(42, '10.0.0.7'), 'ca:5b:0b:4f:1a:32');
  t.equal(deriveVtepMac(16777215, '255.255.255.254'), '42:d9:0f:88:a7:f9');
});

t.test('deriveVtepMac is SHA-256 over the documented text, except for two bits', async (t) => {
  for (const [vni, address] of [
    [1, '10.0.0.1'],
    [2, '10.0.0.1'],
    [1, '10.0.0.2'],
    [0, '172.16.100.217'],
  ] as const) {
    const digest = createHash('sha256').update(`weft vtep ${vni} ${address}`).digest('hex').slice(0, 12);
    const derived = deriveVtepMac(vni, address).replaceAll(':', '');
    t.equal(derived.slice(2), digest.slice(2));
    t.equal(Number.parseInt(derived.slice(0, 2), 16) & 0xfc, Number.parseInt(digest.slice(0, 2), 16) & 0xfc);
  }
});

t.test('deriveVtepMac returns locally administered unicast addresses', async (t) => {
  for (let i = 0; i < 500; i++) {
    const [first] = hex(deriveVtepMac(1, `10.0.${i >> 8}.${i & 255}`).replaceAll(':', ''));
    if (((first as number) & 3) !== 2) t.fail(`10.0.${i >> 8}.${i & 255}`);
  }
  t.pass('all of 500');
});
