import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { until } from '../../../../../lab/until.js';
import type { Lease } from '../../../../../src/control/leases/lease.js';
import { kubeNode, PREFIX, peerNode, vxlanAnnotations } from '../../../../support/kube-nodes.js';
import { bench, textOf, writeToken } from '../../../../support/kube-source.js';
import { mentions, refusal } from '../../../../support/user-error.js';

const OWN = '10.1.1.0/24 at 192.0.2.1';
const PEER = '10.100.1.0/24 at 172.16.0.1';
const WATCH = /watch=/;
const LIST = /nodes\?(?!.*watch=)/;

t.test("a node registers, and says so in flannel's lines and order", async (t) => {
  const b = await bench(t);
  b.api.put(peerNode(1));
  const set = await b.follow();
  t.same(textOf(set), [OWN, PEER]);
  const words = [
    'Waiting for node controller to sync',
    'Starting kube subnet manager',
    'Node controller sync successful',
    'Created subnet manager: Kubernetes Subnet Manager - me',
    'Interface flannel.1 mac address set to: ',
  ];
  const places = words.map((word) => b.lines.findIndex((line) => line.includes(word)));
  t.same(
    places,
    [...places].sort((x, y) => x - y),
  );
  t.notOk(places.includes(-1));
  const [patch] = b.api.seen('PATCH', /./);
  t.equal(patch?.path, '/api/v1/nodes/me/status');
  t.equal(patch?.contentType, 'application/strategic-merge-patch+json');
});

t.test('a node that is registered as it should be is not patched, and keeps its MAC', async (t) => {
  const b = await bench(t);
  b.api.put(kubeNode('me', ['10.1.1.0/24'], vxlanAnnotations('192.0.2.1', '8A:2e:3f:11:00:01')));
  const set = await b.follow();
  t.equal(set.ipv4?.own.vtepMac, '8a:2e:3f:11:00:01');
  const other = await bench(t);
  other.api.put(
    kubeNode('me', ['10.1.1.0/24'], vxlanAnnotations('192.0.2.1', set.ipv4?.own.vtepMac as string)),
  );
  await other.follow();
  t.equal(other.api.seen('PATCH', /./).length, 0);
});

t.test('only what differs is patched', async (t) => {
  const b = await bench(t);
  b.api.put(kubeNode('me', ['10.1.1.0/24'], vxlanAnnotations('198.51.100.7', '8a:2e:3f:11:00:01')));
  await b.follow();
  t.equal(
    b.api.seen('PATCH', /./)[0]?.body,
    `{"metadata":{"annotations":{"${PREFIX}public-ip":"192.0.2.1"}}}`,
  );
});

t.test('a stored MAC that is none is named and replaced', async (t) => {
  const b = await bench(t);
  b.api.put(kubeNode('me', ['10.1.1.0/24'], vxlanAnnotations('192.0.2.1', '01:00:5e:00:00:01')));
  const own = (await b.follow()).ipv4?.own as Lease;
  await b.said('Failed to parse mac addr(01:00:5e:00:00:01): ');
  t.match(own.vtepMac, /^[0-9a-f]{2}(:[0-9a-f]{2}){5}$/);
});

t.test('public-ip-overwrite ends up in public-ip and in the lease, also when it comes later', async (t) => {
  const b = await bench(t);
  b.api.put(kubeNode('me', ['10.1.1.0/24'], { [`${PREFIX}public-ip-overwrite`]: '203.0.113.5' }));
  const published = (): string | undefined =>
    b.api.nodes.get('me')?.metadata.annotations?.[`${PREFIX}public-ip`];
  t.same(textOf(await b.follow()), ['10.1.1.0/24 at 203.0.113.5']);
  t.equal(published(), '203.0.113.5');
  await b.said(`Overriding public ip with '203.0.113.5' from node annotation '${PREFIX}public-ip-overwrite'`);
  b.api.change('me', (node) => {
    node.metadata.annotations = {
      ...node.metadata.annotations,
      [`${PREFIX}public-ip-overwrite`]: '203.0.113.6',
    };
  });
  await b.set('10.1.1.0/24 at 203.0.113.6');
  await until('published', () => published() === '203.0.113.6');
});

t.test('node-public-ip is handed to who chooses the interface', async (t) => {
  const b = await bench(t);
  b.api.put(kubeNode('me', ['10.1.1.0/24'], { [`${PREFIX}node-public-ip`]: '192.0.2.9' }));
  t.match(await b.open(), { publicIps: { ipv4: '192.0.2.9', ipv6: undefined } });
});

t.test('a node that can have no lease is told why, and nothing is patched', async (t) => {
  const words = 'Error registering network: failed to acquire lease: ';
  for (const [cidrs, more, reason] of [
    [[], {}, 'node "me" pod cidr not assigned; run kube-controller-manager with --allocate-node-cidrs'],
    [
      ['10.1.1.0/24', 'fd00::/64', '10.1.2.0/24'],
      {},
      'node "me" pod cidrs should be IPv4/IPv6 only or dualstack',
    ],
    [
      ['172.31.1.0/24'],
      {},
      'subnet "10.0.0.0/8" specified in the flannel net config doesn\'t contain "172.31.1.0/24" PodCIDR of the "me" node',
    ],
    [['10.1.1.0/24'], { [`${PREFIX}public-ip-overwrite`]: 'here' }, 'public-ip-overwrite "here"'],
  ] as const) {
    const b = await bench(t);
    b.api.put(kubeNode('me', [...cidrs], more));
    await b.open();
    const message = await refusal(t, () => b.acquire());
    t.ok(message.startsWith(words), message);
    mentions(t, message, reason);
    t.equal(b.api.seen('PATCH', /./).length, 0);
  }
});

t.test('a node that is not there is waited for, and then named', async (t) => {
  const b = await bench(t, { env: { NODE_NAME: 'late' }, timing: { acquireMs: 5000 } });
  const opened = b.open();
  await b.said('Created subnet manager');
  b.api.put(kubeNode('late', ['10.1.9.0/24']));
  await opened;
  t.equal(textOf(await b.acquire())[0], '10.1.9.0/24 at 192.0.2.1');
  const other = await bench(t, { env: { NODE_NAME: 'never' } });
  await other.open();
  mentions(
    t,
    await refusal(t, () => other.acquire()),
    'timeout contacting kube-api, failed to patch node "never". Error: ',
  );
});

t.test('of the other nodes those count that say so, and bad ones are named once', async (t) => {
  const b = await bench(t);
  b.api.put(peerNode(1));
  b.api.put(peerNode(2, { 'kube-subnet-manager': 'True' }));
  b.api.put(peerNode(3, { 'backend-type': 'host-gw' }));
  b.api.put(peerNode(4, { 'public-ip': '999' }));
  b.api.put(peerNode(5, { 'backend-data': 'null' }));
  b.api.put(kubeNode('node-6', [], vxlanAnnotations('172.16.0.6', '02:00:00:00:00:06')));
  t.same(textOf(await b.follow()), [OWN, PEER]);
  mentions(t, await b.said('ignoring non-vxlan'), 'v4Subnet(10.100.3.0/24) v6Subnet(::/0): type=host-gw');
  mentions(t, await b.said('Error turning node "node-4" to lease: '), 'invalid IP address format');
  mentions(t, await b.said('Error turning node "node-5" to lease: '), 'error decoding subnet lease JSON');
  mentions(
    t,
    await b.said('Error turning node "node-6" to lease: '),
    'missing IPv4 address on n.Spec.PodCIDRs',
  );
  b.api.change('node-4', (node) => Object.assign(node.metadata, { labels: { a: 'b' } }));
  b.api.put(peerNode(7));
  await b.set(OWN, PEER, '10.100.7.0/24 at 172.16.0.7');
  t.equal(b.lines.filter((line) => line.includes('node-4')).length, 1);
});

t.test("a node with this node's public IP is left out, and both are named", async (t) => {
  const b = await bench(t);
  b.api.put(peerNode(1));
  b.api.put(peerNode(2, { 'public-ip': '192.0.2.1' }));
  t.same(textOf(await b.follow()), [OWN, PEER]);
  await b.said(
    'node-2 is left out: its public IP 192.0.2.1 is that of me too; give each node its own with --iface',
  );
});

t.test('in a udp cluster nodes of every type are peers', async (t) => {
  const b = await bench(t, { netConf: '{"Network":"10.0.0.0/8","Backend":{"Type":"udp"}}' });
  b.api.put(peerNode(1, { 'backend-type': '', 'backend-data': 'null' }));
  b.api.put(peerNode(2));
  const set = await b.follow();
  t.same(textOf(set), [OWN, PEER, '10.100.2.0/24 at 172.16.0.2']);
  t.equal(set.ipv4?.own.vtepMac, undefined);
});

t.test('heartbeats make no set; a change, a new pod CIDR and a deletion do', async (t) => {
  const b = await bench(t);
  b.api.put(peerNode(1));
  await b.follow();
  b.api.change('node-1', (node) => node.status.conditions?.push({ type: 'DiskPressure', status: 'False' }));
  b.api.put(peerNode(2));
  await b.set(OWN, PEER, '10.100.2.0/24 at 172.16.0.2');
  t.equal(b.sets.length, 1);
  b.api.change('node-2', (node) =>
    Object.assign(node.spec, { podCIDR: '10.200.2.0/24', podCIDRs: ['10.200.2.0/24'] }),
  );
  await b.set(OWN, PEER, '10.200.2.0/24 at 172.16.0.2');
  b.api.remove('node-1');
  await b.set(OWN, '10.200.2.0/24 at 172.16.0.2');
});

t.test('after a cut the watch goes on at the last bookmark, without a list', async (t) => {
  const b = await bench(t);
  await b.follow();
  b.api.tick();
  b.api.bookmark();
  b.api.put(peerNode(1));
  await b.set(OWN, PEER);
  const { version } = b.api;
  b.api.tick();
  b.api.tick();
  b.api.bookmark();
  const before = b.api.seen('GET', WATCH).length;
  await b.api.cutWatches('{"type":"MODIFIED","object":{"kind":"No');
  const watches = await until('another watch', () => {
    const all = b.api.seen('GET', WATCH);
    return all.length > before && all;
  });
  t.match(watches.at(-1)?.path, new RegExp(`resourceVersion=${version + 2}&`));
  t.match(watches.at(-1)?.path, /allowWatchBookmarks=true/);
  t.equal(b.api.seen('GET', LIST).length, 1);
});

t.test('while the server is away its nodes stay, and what happened meanwhile follows', async (t) => {
  const b = await bench(t);
  b.api.put(peerNode(1));
  b.api.put(peerNode(2));
  await b.follow();
  await b.api.stop();
  await b.said('lost the Kubernetes API server, the last known peers stay in force');
  t.match(b.source.notReady, 'failed to watch *v1.Node');
  t.equal(b.sets.length, 0);
  b.api.nodes.delete('node-1');
  b.api.tick();
  b.api.compact();
  await b.api.restart();
  await b.set(OWN, '10.100.2.0/24 at 172.16.0.2');
  t.equal(b.source.notReady, null);
  t.equal(b.lines.filter((line) => line.includes('lost the')).length, 1);
  await b.said('answers again');
});

t.test('a server that ends every watch at once is not asked in a hot loop', async (t) => {
  const b = await bench(t, { timing: { backoff: { firstMs: 20, mostMs: 30_000 } } });
  await b.open();
  b.api.refuseToStream = true;
  await b.api.cutWatches();
  const watches = await until('six watches', () => {
    const all = b.api.seen('GET', WATCH);
    return all.length >= 6 && all.slice(0, 6);
  });
  const gaps = watches.slice(1).map(({ at }, index) => at - (watches[index]?.at as number));
  for (const [index, gap] of gaps.entries()) t.ok(gap >= 10 * 2 ** index * 0.9, `gap ${index}: ${gap}`);
});

t.test('a watch without a sign of life is followed by a list', async (t) => {
  const b = await bench(t, { timing: { emptyWatchMs: 0 } });
  await b.follow();
  const lists = b.api.seen('GET', LIST).length;
  await until('a list', () => {
    b.api.endWatches();
    return b.api.seen('GET', LIST).length > lists;
  });
});

t.test('a half-open connection is given up', async (t) => {
  const b = await bench(t, { timing: { watchSeconds: { least: 0, most: 0 }, watchSlackMs: 50 } });
  b.api.deafToTimeouts = true;
  await b.open();
  await until('a second watch', () => b.api.seen('GET', WATCH).length > 1);
});

t.test('a token that was exchanged is read anew', async (t) => {
  const b = await bench(t);
  const path = join(b.api.dir, 'token');
  writeToken(path, 'first');
  b.api.token = 'first';
  b.api.writeKubeconfig({ tokenFile: path });
  await b.follow();
  b.api.token = 'second';
  writeToken(path, 'second');
  await b.api.cutWatches();
  b.api.put(peerNode(1));
  await b.set(OWN, PEER);
  t.equal(b.api.requests.at(-1)?.authorization, 'Bearer second');
  t.notOk(
    b.lines.some((line) => line.includes('first') || line.includes('second')),
    'no token is logged',
  );
});

t.test('annotations that someone took away come back, one patch with what is missing', async (t) => {
  const b = await bench(t);
  await b.follow();
  const before = b.api.seen('PATCH', /./).length;
  b.api.change('me', (node) => {
    delete node.metadata.annotations?.[`${PREFIX}backend-type`];
  });
  await until(
    'it is back',
    () => b.api.nodes.get('me')?.metadata.annotations?.[`${PREFIX}backend-type`] === 'vxlan',
  );
  const patches = b.api.seen('PATCH', /./).slice(before);
  t.same(
    patches.map(({ body }) => body),
    [`{"metadata":{"annotations":{"${PREFIX}backend-type":"vxlan"}}}`],
  );
});

t.test(
  'a node registered anew is published again, follows its pod CIDR, and its condition is cleared again',
  async (t) => {
    const b = await bench(t);
    const own = (await b.follow()).ipv4?.own as Lease;
    b.source.markReady();
    const cleared = () =>
      b.api.nodes
        .get('me')
        ?.status.conditions?.some(({ type, status }) => type === 'NetworkUnavailable' && status === 'False');
    await until('cleared', cleared);
    b.api.remove('me');
    b.api.put(kubeNode('me', ['10.1.7.0/24'], {}, 'another'));
    await b.set('10.1.7.0/24 at 192.0.2.1');
    await until('cleared again', cleared);
    t.match(b.api.nodes.get('me')?.metadata.annotations?.[`${PREFIX}backend-data`], own.vtepMac as string);
    b.api.change('me', (node) => {
      for (const condition of node.status.conditions ?? [])
        if (condition.type === 'NetworkUnavailable') condition.status = 'True';
    });
    await until('and after it turned True', cleared);
  },
);

t.test('a condition that could not be cleared is tried again', async (t) => {
  const b = await bench(t);
  await b.follow();
  b.api.replay('error-403-patch-node', { applies: ({ body }) => body.includes('conditions'), times: 2 });
  b.source.markReady();
  mentions(
    t,
    await b.said('CompleteLease execute error err: '),
    'the ClusterRole has to grant patch on nodes/status',
  );
  await until('cleared', () =>
    b.api.nodes.get('me')?.status.conditions?.some(({ type }) => type === 'NetworkUnavailable'),
  );
});

t.test('with --set-node-network-unavailable=false the condition is left alone', async (t) => {
  const b = await bench(t, { options: { setNodeNetworkUnavailable: false } });
  await b.follow();
  b.source.markReady();
  b.api.change('me', (node) => {
    node.metadata.annotations = {};
  });
  await until(
    'published again',
    () => b.api.nodes.get('me')?.metadata.annotations?.[`${PREFIX}public-ip`] === '192.0.2.1',
  );
  t.notOk(b.api.requests.some(({ body }) => body.includes('conditions')));
});

t.test('a listener that refuses a set gets the next one', async (t) => {
  const b = await bench(t);
  await b.open();
  await b.acquire();
  const seen: number[] = [];
  const refused: string[] = [];
  b.source.watch({
    onLeases: async ({ ipv4 }) => {
      const count = ipv4?.peers.length ?? 0;
      seen.push(count);
      if (count === 1) throw new Error('not this one');
    },
    onRefused: ({ message }) => refused.push(message),
    onRevoked: () => {},
  });
  b.api.put(peerNode(1));
  await until('a refusal', () => refused.length > 0);
  b.api.put(peerNode(2));
  await until('the next', () => seen.includes(2));
  t.same(refused, ['not this one']);
});

t.test('net-conf.json is read first, without its ranges', async (t) => {
  const wrong = { options: { netConfigPath: '/nowhere/net-conf.json' } };
  mentions(
    t,
    await refusal(t, async () => (await bench(t, wrong)).open()),
    'Failed to create SubnetManager: failed to read net conf: --net-config-path /nowhere/net-conf.json: no such file',
  );
  mentions(
    t,
    await refusal(t, async () => (await bench(t, { netConf: '{"Network":' })).open()),
    'Failed to create SubnetManager: error parsing subnet config: ',
  );
  const b = await bench(t, { netConf: '{"Network":"10.0.0.0/8","SubnetLen":4,"SubnetMin":"1.2.3.4"}' });
  await b.open();
});

t.test("the node's name is that of the pod's node where it is not given", async (t) => {
  const env = { NODE_NAME: undefined, POD_NAME: 'weft-x', POD_NAMESPACE: 'kube-flannel' };
  const failed = async (more: object): Promise<string> =>
    refusal(t, async () => (await bench(t, { env: { ...env, ...more } })).open());
  const b = await bench(t, { env });
  b.api.pods.set('kube-flannel/weft-x', 'me');
  await b.open();
  t.equal(b.source.name, 'Kubernetes Subnet Manager - me');
  mentions(t, await failed({ POD_NAME: '' }), 'env variables POD_NAME and POD_NAMESPACE must be set');
  mentions(t, await failed({}), "error retrieving pod spec for 'kube-flannel/weft-x'");
  const unscheduled = await bench(t, { env });
  unscheduled.api.pods.set('kube-flannel/weft-x', undefined);
  mentions(
    t,
    await refusal(t, () => unscheduled.open()),
    "node name not present in pod spec 'kube-flannel/weft-x'",
  );
  const forbidden = await bench(t, { env });
  forbidden.api.replay('error-403-list', { applies: ({ path }) => path.includes('/pods/') });
  mentions(
    t,
    await refusal(t, () => forbidden.open()),
    "Failed to create SubnetManager: error retrieving pod spec for 'kube-flannel/weft-x': the server does not allow access to the requested resource",
  );
});

t.test('a configuration that is no good is refused at once', async (t) => {
  const words = 'Failed to create SubnetManager: fail to create kubernetes config: ';
  const failed = async (options: object): Promise<string> =>
    refusal(t, async () => (await bench(t, { options, env: { KUBERNETES_SERVICE_HOST: undefined } })).open());
  mentions(
    t,
    await failed({ kubeconfigFile: '/nowhere/kubeconfig' }),
    words,
    '/nowhere/kubeconfig',
    'no such file',
  );
  mentions(
    t,
    await failed({ kubeconfigFile: '"/etc/kubeconfig"' }),
    words,
    'there are quote characters in this path',
  );
  mentions(t, await failed({ kubeconfigFile: undefined, apiUrl: 'here' }), words, '"here" is no URL');
  mentions(
    t,
    await failed({ kubeconfigFile: undefined }),
    words,
    'KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT must be defined',
  );
  mentions(
    t,
    await failed({ annotationPrefix: 'a/b/c' }),
    'Failed to create SubnetManager: error creating network manager: subnet/kube: prefix can contain at most single slash',
  );
});

t.test("in a pod the service account is used, and client-go's warning said", async (t) => {
  const b = await bench(t, { options: { kubeconfigFile: undefined } });
  const { hostname, port } = new URL(b.api.url);
  const dir = join(b.api.dir, 'var/run/secrets/kubernetes.io/serviceaccount');
  mkdirSync(dir, { recursive: true });
  writeToken(join(dir, 'token'), 'of-the-pod');
  writeToken(join(dir, 'ca.crt'), b.api.ca);
  process.env.KUBERNETES_SERVICE_HOST = hostname;
  process.env.KUBERNETES_SERVICE_PORT = port;
  t.teardown(() => {
    delete process.env.KUBERNETES_SERVICE_HOST;
    delete process.env.KUBERNETES_SERVICE_PORT;
  });
  b.api.token = 'of-the-pod';
  await b.open();
  await b.said(
    'Neither --kubeconfig nor --master was specified.  Using the inClusterConfig.  This might not work.',
  );
});

t.test('a client certificate identifies the node, and --kube-api-url goes before the file', async (t) => {
  const b = await bench(t, { options: { apiUrl: 'https://127.0.0.1:1' } });
  b.api.writeKubeconfig('certificate');
  const opening = b.open();
  opening.catch(() => undefined);
  mentions(t, await b.said('waiting for the Kubernetes API server'), 'https://127.0.0.1:1', 'ECONNREFUSED');
  t.match(b.source.notReady, 'ECONNREFUSED');
  const other = await bench(t);
  other.api.writeKubeconfig('certificate');
  await other.open();
  t.equal(other.api.requests[0]?.client, 'weft-client');
});

t.test('who gives up waiting gets his own reason', async (t) => {
  const b = await bench(t);
  await b.api.stop();
  const leaving = new AbortController();
  const opened = b.source.open(leaving.signal);
  await b.said('waiting for');
  const reason = new Error('leaving');
  leaving.abort(reason);
  await t.rejects(opened, reason);
  await b.source.close();
  await b.source.close();
  await b.api.restart();
});

t.test('an EVENT_QUEUE_DEPTH that is no number is warned of', async (t) => {
  const b = await bench(t, { env: { EVENT_QUEUE_DEPTH: 'many' } });
  await b.open();
  await b.said('env EVENT_QUEUE_DEPTH=many format error');
});
