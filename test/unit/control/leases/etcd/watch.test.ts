import t from 'tap';
import { until } from '../../../../../lab/until.js';
import { catchLog } from '../../../../support/catch-log.js';
import { Etcd } from '../../../../support/etcd.js';
import { CONFIG, EtcdNode, valueOf } from './etcd-node.js';

const etcd = await Etcd.start(t);
const MAC = '02:00:00:00:00:09';
const DUPLICATE =
  'W another node has the public IP 192.168.77.1 too, and so the same key in etcd and the same subnet ';
const PEER = '10.5.200.0/24 192.168.77.9 02:00:00:00:00:09';

function count(lines: string[], text: string): number {
  return lines.filter((line) => line.includes(text)).length;
}

t.test('EtcdLeaseSource delivers a new, changed and deleted peer, and not its own key', async (t) => {
  catchLog(t);
  await etcd.put('/w1/config', CONFIG);
  const node = await EtcdNode.join(t, etcd, '/w1', '192.168.77.1');
  const key = '/w1/subnets/10.5.200.0-24';
  await etcd.put(key, valueOf('192.168.77.9', MAC));
  await node.peersAre(PEER);
  await etcd.put(key, valueOf('192.168.77.8', '02:00:00:00:00:08'));
  await node.peersAre('10.5.200.0/24 192.168.77.8 02:00:00:00:00:08');
  await etcd.delete(key);
  await node.peersAre();
  t.same(node.revoked, []);
});

t.test('EtcdLeaseSource delivers no set for a renewal that changes nothing', async (t) => {
  catchLog(t);
  await etcd.put('/w2/config', CONFIG);
  await etcd.put('/w2/subnets/10.5.200.0-24', valueOf('192.168.77.9', MAC));
  const node = await EtcdNode.join(t, etcd, '/w2', '192.168.77.1');
  await etcd.put('/w2/subnets/10.5.200.0-24', valueOf('192.168.77.9', MAC), 100);
  await etcd.put('/w2/subnets/10.5.201.0-24', valueOf('192.168.77.7', '02:00:00:00:00:07'));
  await node.peersAre(PEER, '10.5.201.0/24 192.168.77.7 02:00:00:00:00:07');
  t.equal(node.sets.length, 2);
});

t.test('EtcdLeaseSource removes a peer whose lease has expired', async (t) => {
  catchLog(t);
  await etcd.put('/w3/config', CONFIG);
  await etcd.put('/w3/subnets/10.5.200.0-24', valueOf('192.168.77.9', MAC), 3);
  const node = await EtcdNode.join(t, etcd, '/w3', '192.168.77.1');
  t.same(node.sets, [[PEER]]);
  await until('the expiry', () => node.sets.at(-1)?.length === 0, { timeoutMs: 15_000 });
});

t.test('EtcdLeaseSource ignores invalid keys and values and logs each once', async (t) => {
  const log = catchLog(t);
  await etcd.put('/w4/config', CONFIG);
  await etcd.put('/w4/subnets/10.5.200.0-24', valueOf('192.168.77.9', MAC));
  await etcd.put('/w4/subnets/10.5.201.0-24hi', valueOf('192.168.77.2', MAC));
  await etcd.put('/w4/subnets/10.5.202.0-24', '{"PublicIP":"192.168');
  await etcd.put('/w4/subnets/10.5.203.0-24', '{"PublicIP":"192.168.77.3","BackendType":"host-gw"}');
  await etcd.put('/w4/subnets/10.5.204.0-24', valueOf('192.168.77.4', 'no mac'));
  const node = await EtcdNode.join(t, etcd, '/w4', '192.168.77.1');
  t.same(node.sets, [[PEER]]);
  // The last valid value stays in force.
  await etcd.put('/w4/subnets/10.5.200.0-24', '{');
  await etcd.put('/w4/subnets/10.5.202.0-24', '{"PublicIP":"192.168');
  await etcd.put('/w4/subnets/10.5.205.0-24&fd00:5::-64', valueOf('192.168.77.5', '02:00:00:00:00:05'));
  await node.peersAre(PEER, '10.5.205.0/24 192.168.77.5 02:00:00:00:00:05');
  t.equal(count(log, 'Ignoring bad subnet node: failed to parse subnet key "10.5.201.0-24hi"'), 1);
  t.equal(count(log, 'Ignoring bad subnet node: /w4/subnets/10.5.202.0-24'), 1);
  t.equal(count(log, 'ignoring non-vxlan v4Subnet(10.5.203.0/24) v6Subnet(::/0): type=host-gw'), 1);
  t.equal(count(log, 'Ignoring bad subnet node: error decoding subnet lease JSON: 10.5.204.0-24'), 1);
});

t.test('EtcdLeaseSource with backend udp accepts leases of every backend', async (t) => {
  catchLog(t);
  await etcd.put('/w5/config', '{"Network":"10.5.0.0/16","Backend":{"Type":"udp"}}');
  await etcd.put('/w5/subnets/10.5.200.0-24', '{"PublicIP":"192.168.77.9","PublicIPv6":null}');
  await etcd.put('/w5/subnets/10.5.201.0-24', valueOf('192.168.77.2', MAC));
  const node = await EtcdNode.join(t, etcd, '/w5', '192.168.77.1');
  await node.peersAre('10.5.200.0/24 192.168.77.9 undefined', '10.5.201.0/24 192.168.77.2 undefined');
});

t.test('EtcdLeaseSource delivers a thousand leases as one set, and a flapping one alone', async (t) => {
  catchLog(t);
  await etcd.put('/w6/config', '{"Network":"10.0.0.0/8"}');
  const all = Array.from(
    { length: 1000 },
    (_, n) =>
      [
        `/w6/subnets/10.${100 + (n >> 8)}.${n & 255}.0-24`,
        valueOf(
          `172.16.${n >> 8}.${n & 255}`,
          `02:00:00:00:0${n >> 8}:${(n & 255).toString(16).padStart(2, '0')}`,
        ),
      ] as const,
  );
  await etcd.putAll(all);
  const node = await EtcdNode.join(t, etcd, '/w6', '192.168.77.1');
  t.equal(node.sets[0]?.length, 1000);
  const [key, value] = all[500] as (typeof all)[number];
  await etcd.delete(key);
  await until('the deletion', () => node.sets.at(-1)?.length === 999);
  await etcd.put(key, value);
  await until('the new key', () => node.sets.at(-1)?.length === 1000);
  t.same([...(node.sets.at(-1) ?? [])].sort(), [...(node.sets[0] ?? [])].sort());
});

t.test('EtcdLeaseSource reports a revoked lease when its own key is deleted', async (t) => {
  catchLog(t);
  await etcd.put('/w7/config', CONFIG);
  const node = await EtcdNode.join(t, etcd, '/w7', '192.168.77.1');
  await etcd.delete(`/w7/subnets/${node.name}`);
  await until('the revocation', () => node.revoked.length > 0);
  t.same(node.revoked, ['Lease has been revoked. Shutting down daemon.']);
});

t.test('EtcdLeaseSource reports a revoked lease when its own key gets another address', async (t) => {
  catchLog(t);
  await etcd.put('/w8/config', CONFIG);
  const node = await EtcdNode.join(t, etcd, '/w8', '192.168.77.1');
  await etcd.put(`/w8/subnets/${node.name}`, valueOf('192.168.77.9', MAC));
  await until('the revocation', () => node.revoked.length > 0);
  t.same(node.revoked, ['Lease has been revoked. Shutting down daemon.']);
});

t.test('Keeper renews the lease before it expires and keeps the value', async (t) => {
  const log = catchLog(t);
  await etcd.put('/w9/config', CONFIG);
  // The lease is renewed every 0.2 s.
  const timing = { leaseTtlS: 30, marginMs: 29_800 };
  const node = await EtcdNode.join(t, etcd, '/w9', '192.168.77.1', { timing });
  const [before] = await etcd.list('/w9/subnets/');
  await until('two renewals', () => count(log, 'Lease renewed, new expiration: ') >= 2);
  const [after] = await etcd.list('/w9/subnets/');
  t.equal(after?.value, before?.value);
  t.not(after?.lease, before?.lease);
  t.ok(count(log, 'Waiting for 0.2s to renew lease') >= 1);
  t.equal(count(log, DUPLICATE), 0);
  t.match(
    log.find((line) => line.includes('Lease renewed')),
    /new expiration: \d{4}-\d\d-\d\dT\d\d:\d\d:\d\d/,
  );
  t.same(node.revoked, []);
});

t.test('Keeper retries a failed renewal', async (t) => {
  const log = catchLog(t);
  const own = await Etcd.start(t);
  await own.put('/n/config', CONFIG);
  const timing = { leaseTtlS: 60, marginMs: 59_800, renewRetryMs: 60_000 };
  const node = await EtcdNode.join(t, own, '/n', '192.168.77.1', { timing });
  await own.kill();
  await until('the error', () => count(log, 'Error renewing lease (trying again in 1 min): etcd at ') > 0);
  t.same(node.revoked, []);
});

t.test('Keeper restores its value in a reservation that an operator made of its key', async (t) => {
  const log = catchLog(t);
  await etcd.put('/w10/config', CONFIG);
  const timing = { renewRetryMs: 100 };
  const node = await EtcdNode.join(t, etcd, '/w10', '192.168.77.1', { timing });
  const [before] = await etcd.list('/w10/subnets/');
  await etcd.put(`/w10/subnets/${node.name}`, '{"PublicIP":"192.168.77.1"}');
  await until('the value', async () => (await etcd.list('/w10/subnets/'))[0]?.value === before?.value);
  t.equal((await etcd.list('/w10/subnets/'))[0]?.lease, '0');
  t.same(node.revoked, []);
  t.equal(count(log, DUPLICATE), 0);
});

t.test('EtcdLeaseSource delivers nothing after close', async (t) => {
  catchLog(t);
  await etcd.put('/w11/config', CONFIG);
  const node = await EtcdNode.join(t, etcd, '/w11', '192.168.77.1');
  const other = await EtcdNode.join(t, etcd, '/w11', '192.168.77.2');
  await node.peersAre(`${other.subnet} 192.168.77.2 ${other.own?.vtepMac}`);
  await node.source.close();
  await node.source.close();
  await etcd.put('/w11/subnets/10.5.200.0-24', valueOf('192.168.77.9', MAC));
  await until('the set of the other node', () => other.sets.at(-1)?.length === 2);
  t.equal(node.sets.length, 2);
  t.equal((await etcd.list('/w11/subnets/')).length, 3, 'the lease is kept');
});
