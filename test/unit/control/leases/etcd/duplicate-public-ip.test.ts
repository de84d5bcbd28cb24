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

/** Returns the warnings of another node with the same public IP. */
function warnings(log: readonly string[]): string[] {
  return log.filter((line) => line.startsWith(`W another node has the public IP ${IP} too`));
}

/** Returns a node's key. */
async function keyOf(node: EtcdNode, prefix: string): Promise<StoredKey | undefined> {
  return (await etcd.list(`${prefix}/subnets/`)).find(({ key }) => key.endsWith(node.name));
}

/** Waits until every node has received all events so far. */
async function received(nodes: readonly EtcdNode[], prefix: string, number: number): Promise<void> {
  await etcd.put(`${prefix}/subnets/10.5.200.0-24`, valueOf('192.168.77.9', `02:00:00:00:00:0${number}`));
  for (const node of nodes) {
    await until('the event', () => node.sets.at(-1)?.some((peer) => peer.endsWith(`:0${number}`)));
  }
}

t.test('Keeper warns all nodes that share a public IP, with one reply for each claim', async (t) => {
  const log = catchLog(t);
  await etcd.put('/t1/config', CONFIG);
  const first = await EtcdNode.join(t, etcd, '/t1', IP);
  const nodes = [first];
  const before = await keyOf(first, '/t1');
  for (const expected of [2, 5]) {
    nodes.push(await EtcdNode.join(t, etcd, '/t1', IP));
    await until('a warning in each node', () => warnings(log).length === expected);
  }
  await received(nodes, '/t1', 1);
  await received(nodes, '/t1', 2);
  const after = await keyOf(first, '/t1');
  t.equal(after?.value, before?.value);
  t.equal(after?.revision, (before?.revision as number) + 4, 'a claim of each new node and a reply');
  t.equal(warnings(log).length, 5);
  mentions(
    t,
    warnings(log)[0] as string,
    `the same subnet ${first.subnet}`,
    'give each node its own with --iface or --public-ip',
  );
  t.same(
    nodes.flatMap(({ revoked }) => revoked),
    [],
  );
});

t.test('Keeper does not overwrite the value of another node with the same public IP', async (t) => {
  const log = catchLog(t);
  await etcd.put('/t2/config', CONFIG);
  const node = await EtcdNode.join(t, etcd, '/t2', IP, { timing: { renewRetryMs: 0 } });
  const other = valueOf(IP, '02:00:00:00:00:99');
  await etcd.put(`/t2/subnets/${node.name}`, other, 86_400);
  await until('the warning', () => warnings(log).length === 1);
  await received([node], '/t2', 1);
  await received([node], '/t2', 2);
  t.equal((await keyOf(node, '/t2'))?.value, other);
  t.equal(warnings(log).length, 1);
});

t.test('Keeper warns the first of two nodes that share a reservation', async (t) => {
  const log = catchLog(t);
  await etcd.put('/t3/config', CONFIG);
  await etcd.put('/t3/subnets/10.5.40.0-24', `{"PublicIP":"${IP}"}`);
  const nodes = [await EtcdNode.join(t, etcd, '/t3', IP), await EtcdNode.join(t, etcd, '/t3', IP)];
  const again = () => log.filter((line) => line.startsWith('W the reservation 10.5.40.0-24 was put again'));
  await until('the warning', () => again().length === 1);
  await received(nodes, '/t3', 1);
  t.equal(again().length, 1);
});

t.test('Keeper does not warn after a restart of the node', async (t) => {
  const log = catchLog(t);
  await etcd.put('/t4/config', CONFIG);
  const first = await EtcdNode.join(t, etcd, '/t4', IP);
  await first.source.close();
  const again = await EtcdNode.join(t, etcd, '/t4', IP);
  await received([again], '/t4', 1);
  t.same([again.subnet, warnings(log)], [first.subnet, []]);
});

t.test("duplicatePublicIp tells claims and replies from own puts and an operator's", async (t) => {
  const [mine, renewed, foreign] = [7, 8, 9].map((id) => Long.fromNumber(id));
  const granted = { hasGranted: (lease: Long) => lease.eq(7) || lease.eq(8) };
  const of = (ownLease = Long.ZERO, lease = Long.ZERO, value = 'v', revision = 101) =>
    duplicatePublicIp(
      { lease: ownLease, value: 'v', revision: Long.fromNumber(100) } as OwnKey,
      { key: Buffer.of(), value: Buffer.from(value), lease, modRevision: Long.fromNumber(revision) },
      granted,
    );
  t.equal(of(mine, foreign), 'claim');
  t.equal(of(undefined, foreign), 'claim', 'flanneld attaches a lease to a reservation');
  t.equal(of(mine, mine), 'reply');
  t.equal(of(undefined, undefined), 'reply', 'a second node with the reservation');
  t.equal(of(mine, renewed), undefined, 'a renewal whose reply was lost');
  t.equal(of(foreign, foreign), undefined, 'a reply of one other node to another');
  t.equal(of(mine, undefined), undefined, 'an operator makes a reservation');
  t.equal(of(mine, mine, 'w'), undefined, 'an operator changes the value');
  t.equal(of(undefined, undefined, 'w'), undefined, 'an operator changes the reservation');
  t.equal(of(mine, foreign, 'v', 99), undefined, 'an etcd restored from a backup');
});
