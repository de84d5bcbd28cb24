import t, { type Test } from 'tap';
import { until } from '../../../../../lab/until.js';
import { netConfOf } from '../../../../../src/control/config/net-conf.js';
import { acquire } from '../../../../../src/control/leases/etcd/acquire.js';
import { readEndpoints } from '../../../../../src/control/leases/etcd/endpoint.js';
import { EntryReader } from '../../../../../src/control/leases/etcd/entry.js';
import { EtcdClient } from '../../../../../src/control/leases/etcd/etcd-client.js';
import { TXN } from '../../../../../src/control/leases/etcd/protocol.js';
import { Registry } from '../../../../../src/control/leases/etcd/registry.js';
import { ETCD_TIMING } from '../../../../../src/control/leases/etcd/timing.js';
import { JsonFile } from '../../../../../src/control/support/json-file.js';
import { ip } from '../../../../support/addresses.js';
import { catchLog } from '../../../../support/catch-log.js';
import { Etcd } from '../../../../support/etcd.js';
import { mentions, refusal } from '../../../../support/user-error.js';
import { CONFIG, EtcdNode, familyRequest, optionsFor, valueOf } from './etcd-node.js';

const etcd = await Etcd.start(t);
const IP = '192.168.77.1';

function has(lines: string[], text: string): boolean {
  return lines.some((line) => line.includes(text));
}

t.test('acquire puts a key in range with a lease of 24 h and exactly these bytes', async (t) => {
  const log = catchLog(t);
  await etcd.put('/new/config', CONFIG);
  const node = new EtcdNode(t, etcd.url, '/new', IP, { random: () => 0.5 });
  t.equal(await node.acquire(), '10.5.51.0/24');
  const mac = node.own?.vtepMac;
  const [stored, ...more] = await etcd.list('/new/subnets/');
  t.same(more, []);
  t.equal(stored?.key, '/new/subnets/10.5.51.0-24');
  t.equal(
    stored?.value,
    `{"PublicIP":"192.168.77.1","PublicIPv6":null,"BackendType":"vxlan","BackendData":{"VNI":1,"VtepMAC":"${mac}"}}`,
  );
  t.equal((await etcd.timeToLive(stored?.lease ?? '')).granted, 86_400);
  t.ok(has(log, 'Created subnet manager: Etcd Local Manager with Previous Subnet: None'));
  t.ok(has(log, 'Allocated lease (ip: 10.5.51.0/24 ipv6: ::/0) to current node (192.168.77.1)'));
  t.ok(has(log, 'no certificate provided: connecting to etcd with http. This is insecure'));
});

t.test('acquire with backend udp puts the public IP alone', async (t) => {
  catchLog(t);
  await etcd.put('/udp/config', '{"Network":"10.5.0.0/16","Backend":{"Type":"udp"}}');
  const node = new EtcdNode(t, etcd.url, '/udp', IP);
  await node.acquire();
  t.equal((await etcd.list('/udp/subnets/'))[0]?.value, '{"PublicIP":"192.168.77.1","PublicIPv6":null}');
});

t.test('acquire reuses subnet and MAC of the same public IP, with a new lease', async (t) => {
  const log = catchLog(t);
  await etcd.put('/again/config', CONFIG);
  await etcd.put('/again/subnets/10.5.30.0-24', valueOf(IP, 'c6:00:00:00:00:01'), 100);
  const node = new EtcdNode(t, etcd.url, '/again', IP, { previous: '10.5.9.1/24' });
  t.equal(await node.acquire(), '10.5.30.0/24');
  t.equal(node.own?.vtepMac, 'c6:00:00:00:00:01');
  const stored = await etcd.list('/again/subnets/');
  t.same(
    stored.map(({ value }) => value),
    [valueOf(IP, 'c6:00:00:00:00:01')],
  );
  t.ok((await etcd.timeToLive(stored[0]?.lease ?? '')).left > 86_000);
  t.ok(has(log, 'Found lease (ip: 10.5.30.0/24 ipv6: ::/0) for current IP (192.168.77.1), reusing'));
  t.ok(has(log, 'with Previous Subnet: 10.5.9.0/24'));
});

t.test('acquire keeps a reservation without a lease', async (t) => {
  catchLog(t);
  await etcd.put('/reserved/config', CONFIG);
  await etcd.put('/reserved/subnets/10.5.40.0-24', `{"PublicIP":"${IP}"}`);
  const node = new EtcdNode(t, etcd.url, '/reserved', IP);
  t.equal(await node.acquire(), '10.5.40.0/24');
  const [stored] = await etcd.list('/reserved/subnets/');
  t.equal(stored?.lease, '0');
  t.equal(stored?.value, valueOf(IP, String(node.own?.vtepMac)));
});

t.test('acquire reuses the subnet of an earlier run if it fits and is free', async (t) => {
  const log = catchLog(t);
  await etcd.put('/before/config', CONFIG);
  t.equal(
    await new EtcdNode(t, etcd.url, '/before', IP, { previous: '10.5.77.1/24' }).acquire(),
    '10.5.77.0/24',
  );
  t.ok(has(log, 'Found previously leased subnet (10.5.77.0/24), reusing'));
  const second = new EtcdNode(t, etcd.url, '/before', '192.168.77.2', {
    previous: '10.5.77.1/24',
    random: () => 0,
  });
  t.equal(await second.acquire(), '10.5.1.0/24');
  const third = new EtcdNode(t, etcd.url, '/before', '192.168.77.3', {
    previous: '10.9.1.1/24',
    random: () => 0,
  });
  t.equal(await third.acquire(), '10.5.2.0/24');
  t.ok(
    has(
      log,
      'Found previously leased subnet (10.9.1.0/24) that is not compatible with the Etcd network config, ignoring',
    ),
  );
});

t.test('acquire replaces a key outside the configured Network', async (t) => {
  const log = catchLog(t);
  await etcd.put('/moved/config', CONFIG);
  await etcd.put('/moved/subnets/10.4.30.0-24', valueOf(IP, 'c6:00:00:00:00:01'), 100);
  const node = new EtcdNode(t, etcd.url, '/moved', IP, { random: () => 0 });
  t.equal(await node.acquire(), '10.5.1.0/24');
  t.same(
    (await etcd.list('/moved/subnets/')).map(({ key }) => key),
    ['/moved/subnets/10.5.1.0-24'],
  );
  t.ok(has(log, 'for current IP (192.168.77.1) but not compatible with current config, deleting'));
});

t.test('acquire gives nodes that race for one subnet different subnets', async (t) => {
  catchLog(t);
  await etcd.put('/race/config', CONFIG);
  const nodes = Array.from(
    { length: 4 },
    (_, index) => new EtcdNode(t, etcd.url, '/race', `192.168.77.${index + 1}`, { random: () => 0 }),
  );
  const subnets = await Promise.all(nodes.map((node) => node.acquire()));
  t.same(subnets.sort(), ['10.5.1.0/24', '10.5.2.0/24', '10.5.3.0/24', '10.5.4.0/24']);
  t.equal((await etcd.list('/race/subnets/')).length, 4);
});

t.test('acquire fails after ten lost races', async (t) => {
  catchLog(t);
  await etcd.put('/lost/config', CONFIG);
  const node = new EtcdNode(t, etcd.url, '/lost', IP);
  const request = await node.request();
  const { openRegistry } = node.source as unknown as { openRegistry: Registry };
  openRegistry.create = async () => undefined;
  const message = await refusal(t, () => node.acquire(request));
  t.equal(
    message.split(':').slice(0, 3).join(':'),
    'Error registering network: failed to acquire lease: max retries reached trying to acquire a subnet',
  );
});

t.test('acquire fails with a remedy when no subnet is free', async (t) => {
  catchLog(t);
  await etcd.put('/full/config', '{"Network":"10.5.0.0/16","SubnetMin":"10.5.1.0","SubnetMax":"10.5.1.0"}');
  await etcd.put('/full/subnets/10.5.1.0-24', valueOf('192.168.77.2', '02:00:00:00:00:02'));
  const message = await refusal(t, () => new EtcdNode(t, etcd.url, '/full', IP).acquire());
  mentions(
    t,
    message,
    /^Error registering network: failed to acquire lease: out of subnets: /,
    '/full/config',
  );
});

t.test('preview returns the subnet that acquire would reuse or pick, and changes nothing', async (t) => {
  catchLog(t);
  await etcd.put('/look/config', CONFIG);
  await etcd.put('/look/subnets/10.5.1.0-24', valueOf('192.168.77.2', '02:00:00:00:00:02'));
  const before = await etcd.list('/look/');
  t.ok((await new EtcdNode(t, etcd.url, '/look', IP).preview()).startsWith(`10.5.2.0/24 ${IP} `));
  t.equal(
    await new EtcdNode(t, etcd.url, '/look', '192.168.77.2').preview(),
    '10.5.1.0/24 192.168.77.2 02:00:00:00:00:02',
  );
  t.same(await etcd.list('/look/'), before);
  await etcd.put('/look/subnets/10.9.1.0-24', valueOf(IP, '02:00:00:00:00:01'));
  t.match(
    await new EtcdNode(t, etcd.url, '/look', IP).preview(),
    /^10\.5\.2\.0\/24 /,
    'a stale key is replaced',
  );
});

async function connect(t: Test, prefix: string): Promise<EtcdClient> {
  const options = optionsFor(etcd.url, prefix);
  const client = new EtcdClient(options, { ...ETCD_TIMING, marginMs: 0 }, await readEndpoints(options));
  t.teardown(() => client.close());
  return client;
}

t.test('acquire puts both families into key and value', async (t) => {
  catchLog(t);
  const client = await connect(t, '/dual');
  const registry = new Registry(client, '/dual', 60);
  const config =
    '{"Network":"10.5.0.0/16","EnableIPv6":true,"IPv6Network":"fd00:5::/56","Backend":{"Type":"vxlan"}}';
  const request = {
    netConf: netConfOf(JsonFile.parse('--etcd-prefix', '/dual/config', config)),
    families: { ipv4: familyRequest(ip(IP)), ipv6: familyRequest(ip('fd77::1')) },
    storedMacs: { ipv4: '02:00:00:00:00:01', ipv6: '02:00:00:00:06:01' },
  };
  const get = () => acquire(registry, new EntryReader(registry, request.netConf), request, () => 0);
  const { own } = await get();
  t.equal(own.name, '10.5.1.0-24&fd00:5:0:1::-64');
  const [stored] = await etcd.list('/dual/subnets/');
  t.equal(stored?.key, '/dual/subnets/10.5.1.0-24&fd00:5:0:1::-64');
  t.equal(
    stored?.value,
    '{"PublicIP":"192.168.77.1","PublicIPv6":"fd77::1","BackendType":"vxlan","BackendData":{"VNI":1,"VtepMAC":"02:00:00:00:00:01"},"BackendV6Data":{"VNI":1,"VtepMAC":"02:00:00:00:06:01"}}',
  );
  t.equal((await get()).own.name, own.name, 'acquire finds its own key again');
});

t.test('create succeeds when the reply to its first attempt is lost', async (t) => {
  const client = await connect(t, '/twice');
  // As with a second endpoint, at which the call is repeated.
  const call = client.call.bind(client) as (method: unknown, body: unknown) => Promise<unknown>;
  const twice = {
    call: async (method: unknown, body: unknown) => {
      if (method === TXN) await call(method, body);
      return await call(method, body);
    },
  } as EtcdClient;
  const stored = await new Registry(twice, '/twice', 60).create('10.5.1.0-24', 'value');
  const [key] = await etcd.list('/twice/');
  t.match(key, { value: 'value', lease: String(stored?.lease) });
});

t.test('open waits for a missing or invalid configuration and logs each reason once', async (t) => {
  const log = catchLog(t);
  const node = new EtcdNode(t, etcd.url, '/late', IP);
  const acquired = node.acquire();
  await until('a log line', () => log.length > 1);
  const sentence =
    "Couldn't fetch network config: flannel config not found in etcd store. Did you create your config using etcdv3 API?";
  t.equal(log.filter((line) => line.includes(sentence)).length, 1);
  mentions(t, node.source.notReady ?? '', sentence, '/late/config', etcd.url);
  await etcd.put('/late/config', '{"Network":"10.5.0.0/33"}');
  await until('the next log line', () =>
    has(log, 'error parsing subnet config: /late/config:1 (--etcd-prefix): Network'),
  );
  await etcd.put('/late/config', '{"Network":"10.5.0.0/16","EnableIPv6":true}');
  await until('the next log line', () =>
    has(log, 'please define a correct IPv6Network parameter in the flannel config'),
  );
  await etcd.put('/late/config', CONFIG);
  t.match(await acquired, /^10\.5\./);
  t.equal(node.source.notReady, null);
  t.equal(
    log.filter((line) => line.includes("Couldn't fetch network config")).length,
    3,
    'each reason is logged once',
  );
});

t.test('open rejects with the reason of an abort while it waits', async (t) => {
  const log = catchLog(t);
  const node = new EtcdNode(t, etcd.url, '/never', IP);
  const leaving = new AbortController();
  const opened = node.source.open(leaving.signal);
  await until('a log line', () => log.length > 1);
  leaving.abort(new Error('leaving'));
  await t.rejects(opened, { message: 'leaving' });
});

t.test('acquire returns peers of both families, and drops invalid IPv6 fields alone', async (t) => {
  const log = catchLog(t);
  await etcd.put(
    '/both/config',
    '{"Network":"10.5.0.0/16","EnableIPv6":true,"IPv6Network":"fd00:5::/56","Backend":{"Type":"vxlan"}}',
  );
  const value = (node: number, publicIpv6: string): string =>
    `{"PublicIP":"1.1.1.${node}","PublicIPv6":${publicIpv6},"BackendType":"vxlan","BackendData":{"VNI":1,"VtepMAC":"02:00:00:00:00:0${node}"},"BackendV6Data":{"VNI":1,"VtepMAC":"02:00:00:00:06:0${node}"}}`;
  await etcd.put('/both/subnets/10.5.7.0-24&fd00:5:0:7::-64', value(7, '"fd77::7"'));
  await etcd.put('/both/subnets/10.5.8.0-24&fd00:5:0:8::-64', value(8, '7'));
  const node = new EtcdNode(t, etcd.url, '/both', IP);
  await node.acquire();
  t.same(node.sets.at(-1), [
    '10.5.7.0/24 1.1.1.7 02:00:00:00:00:07',
    '10.5.8.0/24 1.1.1.8 02:00:00:00:00:08',
    'fd00:5:0:7::/64 fd77::7 02:00:00:00:06:07',
  ]);
  t.ok(
    has(
      log,
      'error decoding v6 subnet lease JSON: 10.5.8.0-24&fd00:5:0:8::-64: PublicIPv6 7 is not the address of a node',
    ),
  );
});

t.test('open refuses an IPv6-only cluster', async (t) => {
  catchLog(t);
  await etcd.put('/six/config', '{"EnableIPv4":false,"EnableIPv6":true,"IPv6Network":"fd00:5::/56"}');
  const node = new EtcdNode(t, etcd.url, '/six', IP);
  mentions(t, await refusal(t, () => node.request()), '/six/config: an IPv6-only cluster cannot have');
});
