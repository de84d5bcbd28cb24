import t from 'tap';
import { until } from '../../../../../lab/until.js';
import type { OwnKey } from '../../../../../src/control/leases/etcd/acquire.js';
import { duplicatePublicIp } from '../../../../../src/control/leases/etcd/duplicate-public-ip.js';
import { Long } from '../../../../../src/control/leases/etcd/library.js';
import { catchLog } from '../../../../support/catch-log.js';
import { Etcd, type StoredKey } from '../../../../support/etcd.js';
import { mentions } from '../../../../support/user-error.js';
import { CONFIG, EtcdNode, valueOf } from './etcd-node.js';

const etcd = await Etcd.start(t);
const IP = '10.0.2.15';

/** The log's sentences on a node with the same public IP. */
function told(log: readonly string[]): string[] {
  return log.filter((line) => line.startsWith(`W another node has the public IP ${IP} too`));
}

/** A node's key. */
async function keyOf(node: EtcdNode, prefix: string): Promise<StoredKey | undefined> {
  return (await etcd.list(`${prefix}/subnets/`)).find(({ key }) => key.endsWith(node.name));
}

/** Waits until every node has heard of what was put so far. */
async function heard(nodes: readonly EtcdNode[], prefix: string, number: number): Promise<void> {
  await etcd.put(`${prefix}/subnets/10.5.200.0-24`, valueOf('192.168.77.9', `02:00:00:00:00:0${number}`));
  for (const node of nodes) {
    await until('it is heard', () => node.sets.at(-1)?.some((peer) => peer.endsWith(`:0${number}`)));
  }
}

t.test('nodes with one public IP are told of each other, all of them, and by one put more', async (t) => {
  const log = catchLog(t);
  await etcd.put('/t1/config', CONFIG);
  const first = await EtcdNode.join(t, etcd, '/t1', IP);
  const nodes = [first];
  const before = await keyOf(first, '/t1');
  for (const warnings of [2, 5]) {
    nodes.push(await EtcdNode.join(t, etcd, '/t1', IP));
    await until('all are told', () => told(log).length === warnings);
  }
  await heard(nodes, '/t1', 1);
  await heard(nodes, '/t1', 2);
  const after = await keyOf(first, '/t1');
  t.equal(after?.value, before?.value);
  t.equal(after?.revision, (before?.revision as number) + 4, 'each that came, and an answer to it');
  t.equal(told(log).length, 5);
  mentions(
    t,
    told(log)[0] as string,
    `the same subnet ${first.subnet}`,
    'give each node its own with --iface or --public-ip',
  );
  t.same(
    nodes.flatMap(({ revoked }) => revoked),
    [],
  );
});

t.test('two nodes that put different values do not take turns', async (t) => {
  const log = catchLog(t);
  await etcd.put('/t2/config', CONFIG);
  const node = await EtcdNode.join(t, etcd, '/t2', IP, { timing: { renewRetryMs: 0 } });
  const other = valueOf(IP, '02:00:00:00:00:99');
  await etcd.put(`/t2/subnets/${node.name}`, other, 86_400);
  await until('it is told', () => told(log).length === 1);
  await heard([node], '/t2', 1);
  await heard([node], '/t2', 2);
  t.equal((await keyOf(node, '/t2'))?.value, other);
  t.equal(told(log).length, 1);
});

t.test('of two nodes with one reservation the first is told', async (t) => {
  const log = catchLog(t);
  await etcd.put('/t3/config', CONFIG);
  await etcd.put('/t3/subnets/10.5.40.0-24', `{"PublicIP":"${IP}"}`);
  const nodes = [await EtcdNode.join(t, etcd, '/t3', IP), await EtcdNode.join(t, etcd, '/t3', IP)];
  // An operator may have put it again as well.
  const again = () => log.filter((line) => line.startsWith('W the reservation 10.5.40.0-24 was put again'));
  await until('it is told', () => again().length === 1);
  await heard(nodes, '/t3', 1);
  t.equal(again().length, 1);
});

t.test('a node that starts again is no other node', async (t) => {
  const log = catchLog(t);
  await etcd.put('/t4/config', CONFIG);
  const first = await EtcdNode.join(t, etcd, '/t4', IP);
  await first.source.close();
  const again = await EtcdNode.join(t, etcd, '/t4', IP);
  await heard([again], '/t4', 1);
  t.same([again.subnet, told(log)], [first.subnet, []]);
});

t.test('whose a put of the own key is', async (t) => {
  const [mine, renewed, foreign] = [7, 8, 9].map((id) => Long.fromNumber(id));
  const granted = { hasGranted: (lease: Long) => lease.eq(7) || lease.eq(8) };
  const of = (ownLease = Long.ZERO, lease = Long.ZERO, value = 'v', revision = 101) =>
    duplicatePublicIp(
      { lease: ownLease, value: 'v', revision: Long.fromNumber(100) } as OwnKey,
      { key: Buffer.of(), value: Buffer.from(value), lease, modRevision: Long.fromNumber(revision) },
      granted,
    );
  t.equal(of(mine, foreign), 'claim');
  t.equal(of(undefined, foreign), 'claim', 'flanneld makes a lease of a reservation');
  t.equal(of(mine, mine), 'reply');
  t.equal(of(undefined, undefined), 'reply', 'a second node with the reservation');
  t.equal(of(mine, renewed), undefined, 'a renewal whose answer was lost');
  t.equal(of(foreign, foreign), undefined, "another's answer to another's claim");
  t.equal(of(mine, undefined), undefined, 'an operator makes a reservation');
  t.equal(of(mine, mine, 'w'), undefined, 'an operator changes the value');
  t.equal(of(undefined, undefined, 'w'), undefined, 'an operator changes the reservation');
  t.equal(of(mine, foreign, 'v', 99), undefined, 'a store from a backup');
});
