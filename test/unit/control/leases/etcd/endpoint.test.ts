import t from 'tap';
import { parseEndpoint } from '../../../../../src/control/leases/etcd/endpoint.js';
import { goDuration } from '../../../../../src/control/leases/etcd/keeper.js';
import { mentions, refusal } from '../../../../support/user-error.js';

t.test('parseEndpoint accepts a host with optional scheme and port', (t) => {
  for (const [text, name, secure] of [
    ['http://127.0.0.1:4001', 'http://127.0.0.1:4001', false],
    ['https://etcd.example:2379/', 'https://etcd.example:2379', true],
    ['etcd-0', 'http://etcd-0:2379', false],
    ['HTTP://[fd00::1]:99', 'http://[fd00::1]:99', false],
    ['http://user:pass@10.0.0.1:1', 'http://10.0.0.1:1', false],
  ] as const) {
    t.same(parseEndpoint(text), { name, address: name.replace(/.*\/\//, ''), secure }, text);
  }
  t.end();
});

t.test('parseEndpoint refuses other texts and shows no password', async (t) => {
  for (const text of [
    '',
    'http://',
    ' http://a:1',
    'http://a:99999',
    'ftp://a',
    'http://me:secret-word@a b',
  ]) {
    const message = await refusal(t, () => parseEndpoint(text), text);
    mentions(t, message, /^Failed to create SubnetManager: --etcd-endpoints: /, 'http://192.168.77.1:2379');
    t.notMatch(message, 'secret-word');
  }
});

t.test('goDuration formats durations as Go does', (t) => {
  t.same([82_798_900, 82_800_000, 61_000, 1500, 0].map(goDuration), [
    '22h59m58.9s',
    '23h0m0s',
    '1m1s',
    '1.5s',
    '0s',
  ]);
  t.end();
});
