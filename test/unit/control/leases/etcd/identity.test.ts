import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { until } from '../../../../../lab/until.js';
import { formatIp } from '../../../../../src/control/addresses/ip.js';
import { catchLog } from '../../../../support/catch-log.js';
import { Etcd, type StoredKey } from '../../../../support/etcd.js';
import { CONFIG, EtcdNode, valueOf } from './etcd-node.js';

const etcd = await Etcd.start(t);
const IP = '192.168.77.1';
const MAC = '02:00:00:00:00:09';
const MOVED = '192.168.77.7';

async function keyOf({ name }: EtcdNode, prefix: string, server = etcd): Promise<StoredKey | undefined> {
  return (await server.list(`${prefix}/subnets/`)).find(({ key }) => key.endsWith(name));
}

/** Waits until the node's key has this address. */
async function published(node: EtcdNode, prefix: string, address: string, server = etcd): Promise<StoredKey> {
  return await until(`${address} in the key`, async () => {
    const stored = await keyOf(node, prefix, server);
    return stored?.value.includes(`"PublicIP":"${address}"`) && stored;
  });
}

/** Returns a run directory that survives its nodes until the test ends. */
function machine(t: Test): string {
  const dir = mkdtempSync(join(tmpdir(), 'weft-machine-'));
  t.teardown(() => rmSync(dir, { recursive: true, force: true }));
  return dir;
}

t.test('acquire takes the MAC of the run directory if its key is gone', async (t) => {
  catchLog(t);
  await etcd.put('/i1/config', CONFIG);
  const more = { runDir: machine(t) };
  const node = new EtcdNode(t, etcd.url, '/i1', IP, { more });
  await node.acquire();
  t.match(node.own?.vtepMac, /^.[26ae](:..){5}$/, 'locally administered, unicast');
  await etcd.delete(`/i1/subnets/${node.name}`);
  const again = new EtcdNode(t, etcd.url, '/i1', IP, { more });
  await again.acquire();
  t.equal(again.own?.vtepMac, node.own?.vtepMac);
});

t.test(
  'acquire generates another MAC if the key of the earlier address still has the stored one',
  async (t) => {
    catchLog(t);
    await etcd.put('/i2/config', CONFIG);
    const more = { runDir: machine(t) };
    const node = new EtcdNode(t, etcd.url, '/i2', IP, { more });
    await node.acquire();
    const moved = new EtcdNode(t, etcd.url, '/i2', MOVED, { more });
    await moved.acquire();
    t.not(moved.own?.vtepMac, node.own?.vtepMac);
  },
);

t.test('acquire does not take over the MAC of a node that is alive at another address', async (t) => {
  catchLog(t);
  await etcd.put('/i3/config', CONFIG);
  await etcd.put('/i3/subnets/10.5.30.0-24', valueOf(IP, MAC));
  await etcd.put('/i3/subnets/10.5.31.0-24', valueOf(MOVED, MAC));
  const node = new EtcdNode(t, etcd.url, '/i3', IP);
  t.equal(await node.acquire(), '10.5.30.0/24');
  t.not(node.own?.vtepMac, MAC);
});

t.test('EtcdLeaseSource accepts a dead key with the address of a live node', async (t) => {
  catchLog(t);
  for (const type of ['vxlan', 'udp']) {
    const prefix = `/i4${type}`;
    await etcd.put(`${prefix}/config`, `{"Network":"10.5.0.0/16","Backend":{"Type":"${type}"}}`);
    const node = await EtcdNode.join(t, etcd, prefix, IP);
    const live = await EtcdNode.join(t, etcd, prefix, '192.168.77.3');
    const mac = live.own?.vtepMac;
    const peer = `${live.subnet} 192.168.77.3 ${mac}`;
    await node.peersAre(peer);
    const taken = [live.subnet, node.subnet];
    const [dead] = ['10.5.8.0/24', '10.5.9.0/24', '10.5.10.0/24'].filter((subnet) => !taken.includes(subnet));
    const key = `${prefix}/subnets/${dead?.replace('/', '-')}`;
    await etcd.put(key, valueOf('192.168.77.3', MAC));
    await node.peersAre(peer, `${dead} 192.168.77.3 ${type === 'udp' ? undefined : MAC}`);
    const again = new EtcdNode(t, etcd.url, prefix, '192.168.77.2');
    await again.acquire();
    t.equal(
      again.sets[0]?.filter((other) => other.includes(' 192.168.77.3 ')).length,
      2,
      'from the first list',
    );
    await etcd.delete(key);
    await until(
      'its removal',
      () => node.sets.at(-1)?.some((other) => other.startsWith(`${dead}`)) === false,
    );
    t.ok(node.sets.at(-1)?.includes(peer));
  }
});

t.test('EtcdLeaseSource prefers the key that was put last, of two with one MAC', async (t) => {
  const log = catchLog(t);
  await etcd.put('/i5/config', CONFIG);
  const [one, two] = ['10.5.200.0-24', '10.5.201.0-24'].map((name) => `/i5/subnets/${name}`);
  await etcd.put(`${two}`, valueOf('192.168.77.8', MAC));
  await etcd.put(`${one}`, valueOf('192.168.77.9', MAC));
  const node = await EtcdNode.join(t, etcd, '/i5', IP);
  await node.peersAre(`10.5.200.0/24 192.168.77.9 ${MAC}`);
  t.ok(log.some((line) => line.includes('the lease of 10.5.200.0-24 stays because it is newer')));
  await etcd.put(`${two}`, valueOf('192.168.77.8', MAC));
  await node.peersAre(`10.5.201.0/24 192.168.77.8 ${MAC}`);
  const { length } = node.sets;
  await etcd.put(`${two}`, valueOf('192.168.77.8', MAC));
  await etcd.put('/i5/subnets/10.5.202.0-24', valueOf('192.168.77.6', '02:00:00:00:00:06'));
  await until('the next set', () => node.sets.length > length);
  t.equal(node.sets.length, length + 1, 'a renewal alone delivers nothing');
});

t.test('EtcdLeaseSource keeps the lease of a key that gets another backend type', async (t) => {
  const log = catchLog(t);
  await etcd.put('/i6/config', CONFIG);
  await etcd.put('/i6/subnets/10.5.200.0-24', valueOf('192.168.77.9', MAC));
  const node = await EtcdNode.join(t, etcd, '/i6', IP);
  await etcd.put('/i6/subnets/10.5.200.0-24', '{"PublicIP":"192.168.77.9","BackendType":"host-gw"}');
  await etcd.put('/i6/subnets/10.5.201.0-24', valueOf('192.168.77.8', '02:00:00:00:00:08'));
  await node.peersAre(`10.5.200.0/24 192.168.77.9 ${MAC}`, '10.5.201.0/24 192.168.77.8 02:00:00:00:00:08');
  t.equal(log.filter((line) => line.includes('type=host-gw')).length, 1);
});

t.test('move publishes the new address in the same key, with the same MAC', async (t) => {
  const log = catchLog(t);
  await etcd.put('/m1/config', CONFIG);
  const node = await EtcdNode.join(t, etcd, '/m1', IP);
  const peer = await EtcdNode.join(t, etcd, '/m1', '192.168.77.2');
  const { subnet, own } = node;
  await node.source.move(node.requestAt(MOVED));
  await until('the own lease', () => node.own && formatIp(node.own.publicIp) === MOVED);
  const stored = await published(node, '/m1', MOVED);
  t.equal(stored.value, valueOf(MOVED, String(own?.vtepMac)));
  t.not(stored.lease, '0');
  t.match(node.own, { subnet: own?.subnet, vtepMac: own?.vtepMac });
  await peer.peersAre(`${subnet} ${MOVED} ${own?.vtepMac}`);
  await node.source.move(node.requestAt(MOVED));
  for (const last of ['4', '5', '6']) await node.source.move(node.requestAt(`192.168.77.${last}`));
  await published(node, '/m1', '192.168.77.6');
  await peer.peersAre(`${subnet} 192.168.77.6 ${own?.vtepMac}`);
  await node.source.move(node.requestAt(IP));
  await published(node, '/m1', IP);
  t.equal((await etcd.list('/m1/subnets/')).length, 2);
  t.same([node.revoked, node.refused], [[], []]);
  t.notOk(log.some((line) => line.includes('another node has the public IP')));
});

t.test('move during an outage is published once etcd is back', async (t) => {
  const log = catchLog(t);
  const own = await Etcd.start(t);
  await own.put('/n/config', CONFIG);
  const node = await EtcdNode.join(t, own, '/n', IP);
  await own.kill();
  await node.source.move(node.requestAt('192.168.77.6'));
  await until('a failure', () => log.some((line) => line.includes('Error publishing the new public IP in ')));
  await node.source.move(node.requestAt(MOVED));
  await until('the own lease', () => node.own && formatIp(node.own.publicIp) === MOVED);
  await own.launch();
  await published(node, '/n', MOVED, own);
  await own.put('/n/subnets/10.5.200.0-24', valueOf('192.168.77.9', MAC));
  await node.peersAre(`10.5.200.0/24 192.168.77.9 ${MAC}`);
  t.same(node.revoked, []);
});

t.test('move before watch is followed by watch', async (t) => {
  catchLog(t);
  await etcd.put('/m2/config', CONFIG);
  const node = new EtcdNode(t, etcd.url, '/m2', IP);
  await node.acquire();
  await node.source.move(node.requestAt(MOVED));
  node.watch();
  await published(node, '/m2', MOVED);
  await until('the own lease', () => node.own && formatIp(node.own.publicIp) === MOVED);
});

t.test('move leaves the key to the node that has the former address now', async (t) => {
  catchLog(t);
  await etcd.put('/m3/config', CONFIG);
  const node = await EtcdNode.join(t, etcd, '/m3', IP);
  const heir = await EtcdNode.join(t, etcd, '/m3', IP);
  t.equal(heir.subnet, node.subnet, 'a node is known by its address');
  await node.source.move(node.requestAt(MOVED));
  await until('the revocation', () => node.revoked.length === 1);
  t.match((await keyOf(heir, '/m3'))?.value, `"PublicIP":"${IP}"`);
  t.same(heir.revoked, []);
});
