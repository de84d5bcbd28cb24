import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { until } from '../../../../../lab/until.js';
import { describeMissingNode } from '../../../../../src/control/leases/kubernetes/node-name.js';
import type { Lease } from '../../../../../src/control/leases/lease.js';
import type { KubeApi } from '../../../../support/kube-api.js';
import { kubeNode, PREFIX, peerNode, vxlanAnnotations } from '../../../../support/kube-nodes.js';
import { harness, recordWaits, textOf, writeToken } from '../../../../support/kube-source.js';
import { mentions, refusal } from '../../../../support/user-error.js';

const OWN = '10.1.1.0/24 at 192.0.2.1';
const PEER = '10.100.1.0/24 at 172.16.0.1';
const WATCH = /watch=/;
const LIST = /nodes\?(?!.*watch=)/;

t.test("KubernetesLeaseSource registers the node and logs flannel's lines in order", async (t) => {
  const b = await harness(t);
  b.api.put(peerNode(1));
  const set = await b.start();
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

t.test('KubernetesLeaseSource does not patch an up-to-date node, and keeps its MAC', async (t) => {
  const b = await harness(t);
  b.api.put(kubeNode('me', ['10.1.1.0/24'], vxlanAnnotations('192.0.2.1', '8A:2e:3f:11:00:01')));
  const set = await b.start();
  t.equal(set.ipv4?.own.vtepMac, '8a:2e:3f:11:00:01');
  const other = await harness(t);
  other.api.put(
    kubeNode('me', ['10.1.1.0/24'], vxlanAnnotations('192.0.2.1', set.ipv4?.own.vtepMac as string)),
  );
  await other.start();
  t.equal(other.api.seen('PATCH', /./).length, 0);
});

t.test('Publisher patches only the annotations that differ', async (t) => {
  const b = await harness(t);
  b.api.put(kubeNode('me', ['10.1.1.0/24'], vxlanAnnotations('198.51.100.7', '8a:2e:3f:11:00:01')));
  await b.start();
  t.equal(
    b.api.seen('PATCH', /./)[0]?.body,
    `{"metadata":{"annotations":{"${PREFIX}public-ip":"192.0.2.1"}}}`,
  );
});

t.test('KubernetesLeaseSource logs and replaces an invalid stored MAC', async (t) => {
  const b = await harness(t);
  b.api.put(kubeNode('me', ['10.1.1.0/24'], vxlanAnnotations('192.0.2.1', '01:00:5e:00:00:01')));
  const own = (await b.start()).ipv4?.own as Lease;
  await b.logged('Failed to parse mac addr(01:00:5e:00:00:01): ');
  t.match(own.vtepMac, /^[0-9a-f]{2}(:[0-9a-f]{2}){5}$/);
});

t.test('KubernetesLeaseSource publishes public-ip-overwrite, also when it is set later', async (t) => {
  const b = await harness(t);
  b.api.put(kubeNode('me', ['10.1.1.0/24'], { [`${PREFIX}public-ip-overwrite`]: '203.0.113.5' }));
  const published = (): string | undefined =>
    b.api.nodes.get('me')?.metadata.annotations?.[`${PREFIX}public-ip`];
  t.same(textOf(await b.start()), ['10.1.1.0/24 at 203.0.113.5']);
  t.equal(published(), '203.0.113.5');
  await b.logged(
    `Overriding public ip with '203.0.113.5' from node annotation '${PREFIX}public-ip-overwrite'`,
  );
  b.api.change('me', (node) => {
    node.metadata.annotations = {
      ...node.metadata.annotations,
      [`${PREFIX}public-ip-overwrite`]: '203.0.113.6',
    };
  });
  await b.delivered('10.1.1.0/24 at 203.0.113.6');
  await until('published', () => published() === '203.0.113.6');
});

t.test('open returns node-public-ip', async (t) => {
  const b = await harness(t);
  b.api.put(kubeNode('me', ['10.1.1.0/24'], { [`${PREFIX}node-public-ip`]: '192.0.2.9' }));
  t.match(await b.open(), { publicIps: { ipv4: '192.0.2.9', ipv6: undefined } });
});

t.test('acquire refuses bad pod CIDRs and overwrites with a reason, and patches nothing', async (t) => {
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
    const b = await harness(t);
    b.api.put(kubeNode('me', [...cidrs], more));
    await b.open();
    const message = await refusal(t, () => b.acquire());
    t.ok(message.startsWith(words), message);
    mentions(t, message, reason);
    t.equal(b.api.seen('PATCH', /./).length, 0);
  }
});

t.test('acquire waits for a missing node and then fails with its name', async (t) => {
  const b = await harness(t, { env: { NODE_NAME: 'late' }, timing: { acquireMs: 5000 } });
  const opened = b.open();
  await b.logged('Created subnet manager');
  b.api.put(kubeNode('late', ['10.1.9.0/24']));
  await opened;
  t.equal(textOf(await b.acquire())[0], '10.1.9.0/24 at 192.0.2.1');
  const other = await harness(t, { env: { NODE_NAME: 'never' } });
  await other.open();
  mentions(
    t,
    await refusal(t, () => other.acquire()),
    'timeout contacting kube-api, failed to patch node "never". Error: ',
  );
});

t.test('KubernetesLeaseSource accepts peers by their annotations, and logs each bad node once', async (t) => {
  const b = await harness(t);
  b.api.put(peerNode(1));
  b.api.put(peerNode(2, { 'kube-subnet-manager': 'True' }));
  b.api.put(peerNode(3, { 'backend-type': 'host-gw' }));
  b.api.put(peerNode(4, { 'public-ip': '999' }));
  b.api.put(peerNode(5, { 'backend-data': 'null' }));
  b.api.put(kubeNode('node-6', [], vxlanAnnotations('172.16.0.6', '02:00:00:00:00:06')));
  t.same(textOf(await b.start()), [OWN, PEER]);
  mentions(t, await b.logged('ignoring non-vxlan'), 'v4Subnet(10.100.3.0/24) v6Subnet(::/0): type=host-gw');
  mentions(t, await b.logged('Error turning node "node-4" to lease: '), 'invalid IP address format');
  mentions(t, await b.logged('Error turning node "node-5" to lease: '), 'error decoding subnet lease JSON');
  mentions(
    t,
    await b.logged('Error turning node "node-6" to lease: '),
    'missing IPv4 address on n.Spec.PodCIDRs',
  );
  b.api.change('node-4', (node) => Object.assign(node.metadata, { labels: { a: 'b' } }));
  b.api.put(peerNode(7));
  await b.delivered(OWN, PEER, '10.100.7.0/24 at 172.16.0.7');
  t.equal(b.lines.filter((line) => line.includes('node-4')).length, 1);
});

t.test("KubernetesLeaseSource leaves out a node with this node's public IP and names both", async (t) => {
  const b = await harness(t);
  b.api.put(peerNode(1));
  b.api.put(peerNode(2, { 'public-ip': '192.0.2.1' }));
  t.same(textOf(await b.start()), [OWN, PEER]);
  await b.logged(
    'node-2 is left out: its public IP 192.0.2.1 belongs to me too; the lease of me stays because that is this node; delete the record of a node that is gone, or give each node its own with --iface',
  );
});

t.test('KubernetesLeaseSource with backend udp accepts nodes of every backend type', async (t) => {
  const b = await harness(t, { netConf: '{"Network":"10.0.0.0/8","Backend":{"Type":"udp"}}' });
  b.api.put(peerNode(1, { 'backend-type': '', 'backend-data': 'null' }));
  b.api.put(peerNode(2));
  const set = await b.start();
  t.same(textOf(set), [OWN, PEER, '10.100.2.0/24 at 172.16.0.2']);
  t.equal(set.ipv4?.own.vtepMac, undefined);
});

t.test('KubernetesLeaseSource delivers no set for heartbeats, but for changes and deletions', async (t) => {
  const b = await harness(t);
  b.api.put(peerNode(1));
  await b.start();
  b.api.change('node-1', (node) => node.status.conditions?.push({ type: 'DiskPressure', status: 'False' }));
  b.api.put(peerNode(2));
  await b.delivered(OWN, PEER, '10.100.2.0/24 at 172.16.0.2');
  t.equal(b.sets.length, 1);
  b.api.change('node-2', (node) =>
    Object.assign(node.spec, { podCIDR: '10.200.2.0/24', podCIDRs: ['10.200.2.0/24'] }),
  );
  await b.delivered(OWN, PEER, '10.200.2.0/24 at 172.16.0.2');
  b.api.remove('node-1');
  await b.delivered(OWN, '10.200.2.0/24 at 172.16.0.2');
});

t.test('NodeReflector resumes a cut watch at the last bookmark, without a list', async (t) => {
  const b = await harness(t);
  await b.start();
  b.api.tick();
  b.api.bookmark();
  b.api.put(peerNode(1));
  await b.delivered(OWN, PEER);
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

t.test('NodeReflector keeps the nodes while the server is down, and then delivers the changes', async (t) => {
  const b = await harness(t);
  b.api.put(peerNode(1));
  b.api.put(peerNode(2));
  await b.start();
  await b.api.stop();
  await b.logged('lost the Kubernetes API server, the last known peers stay in force');
  t.match(b.source.notReady, 'failed to watch *v1.Node');
  t.equal(b.sets.length, 0);
  b.api.nodes.delete('node-1');
  b.api.tick();
  b.api.compact();
  await b.api.restart();
  await b.delivered(OWN, '10.100.2.0/24 at 172.16.0.2');
  t.equal(b.source.notReady, null);
  t.equal(b.lines.filter((line) => line.includes('lost the')).length, 1);
  await b.logged('answers again');
});

t.test('NodeReflector backs off from a server that ends every watch at once', async (t) => {
  const waits = recordWaits(t);
  const b = await harness(t, { timing: { backoff: { firstMs: 20, mostMs: 30_000 } } });
  await b.open();
  b.api.refuseToStream = true;
  await b.api.cutWatches();
  await until('six watches', () => b.api.seen('GET', WATCH).length >= 6);
  for (const [index, wait] of waits.slice(0, 5).entries())
    t.ok(wait >= 10 * 2 ** index, `wait ${index}: ${wait}`);
});

t.test('NodeReflector lists again after a watch without events and bookmarks', async (t) => {
  const b = await harness(t, { timing: { emptyWatchMs: 0 } });
  await b.start();
  const lists = b.api.seen('GET', LIST).length;
  await until('a list', () => {
    b.api.endWatches();
    return b.api.seen('GET', LIST).length > lists;
  });
});

t.test('NodeReflector replaces a half-open connection', async (t) => {
  const b = await harness(t, { timing: { watchSeconds: { least: 0, most: 0 }, watchSlackMs: 50 } });
  b.api.deafToTimeouts = true;
  await b.open();
  await until('a second watch', () => b.api.seen('GET', WATCH).length > 1);
});

t.test('ApiClient reads a rotated token', async (t) => {
  const b = await harness(t);
  const path = join(b.api.dir, 'token');
  writeToken(path, 'first');
  b.api.token = 'first';
  b.api.writeKubeconfig({ tokenFile: path });
  await b.start();
  b.api.token = 'second';
  writeToken(path, 'second');
  await b.api.cutWatches();
  b.api.put(peerNode(1));
  await b.delivered(OWN, PEER);
  t.equal(b.api.requests.at(-1)?.authorization, 'Bearer second');
  t.notOk(
    b.lines.some((line) => line.includes('first') || line.includes('second')),
    'no token is logged',
  );
});

/** Mounts the service account of a pod; returns its folder. */
function serviceAccountOf(t: Test, api: KubeApi): string {
  const { hostname, port } = new URL(api.url);
  const dir = join(api.dir, 'var/run/secrets/kubernetes.io/serviceaccount');
  mkdirSync(dir, { recursive: true });
  writeToken(join(dir, 'token'), 'of-the-pod');
  writeToken(join(dir, 'ca.crt'), api.ca);
  process.env.KUBERNETES_SERVICE_HOST = hostname;
  process.env.KUBERNETES_SERVICE_PORT = port;
  t.teardown(() => {
    delete process.env.KUBERNETES_SERVICE_HOST;
    delete process.env.KUBERNETES_SERVICE_PORT;
  });
  return dir;
}

/** Moves the CA of a kubeconfig from its file into the kubeconfig. */
function moveCaInside(kubeconfig: string, ca: string): void {
  const config = JSON.parse(readFileSync(kubeconfig, 'utf8')) as { clusters: { cluster: object }[] };
  const [{ cluster }] = config.clusters as [{ cluster: object }];
  Object.assign(cluster, { 'certificate-authority-data': Buffer.from(ca).toString('base64') });
  writeFileSync(kubeconfig, JSON.stringify(config));
}

t.test('ApiClient reads a replaced CA, as a path and inside the kubeconfig', async (t) => {
  for (const inside of [false, true]) {
    const b = await harness(t);
    const kubeconfig = b.api.writeKubeconfig('certificate');
    if (inside) moveCaInside(kubeconfig, b.api.ca);
    await b.start();
    const old = readFileSync(kubeconfig);
    await b.api.stop();
    b.api.renewCertificates();
    await b.api.restart();
    if (inside) {
      const line = await b.logged('self-signed certificate; ');
      mentions(
        t,
        line,
        `not signed by a CA in --kubeconfig-file ${kubeconfig}: `,
        'certificate-authority-data; put',
      );
      t.notMatch(line, 'check that the API server runs');
      writeFileSync(kubeconfig, old.subarray(0, 200));
      await b.logged('the last valid credentials stay in use');
      writeFileSync(kubeconfig, old);
      moveCaInside(kubeconfig, b.api.ca);
    }
    b.api.put(peerNode(1));
    await b.delivered(OWN, PEER);
    t.equal(b.source.notReady, null);
  }
});

t.test('ApiClient reads a replaced CA of the service account', async (t) => {
  const b = await harness(t, { options: { kubeconfigFile: undefined } });
  const dir = serviceAccountOf(t, b.api);
  await b.start();
  await b.api.stop();
  b.api.renewCertificates();
  await b.api.restart();
  mentions(t, await b.logged('self-signed certificate; '), `not signed by a CA in ${dir}/ca.crt; put`);
  writeToken(join(dir, 'ca.crt'), b.api.ca);
  b.api.put(peerNode(1));
  await b.delivered(OWN, PEER);
});

t.test('ApiClient names the credentials that the API server does not accept, and reads others', async (t) => {
  const b = await harness(t);
  const kubeconfig = b.api.writeKubeconfig({ token: 'old' });
  b.api.token = 'new';
  const opened = b.open();
  mentions(
    t,
    await b.logged('waiting for the Kubernetes API server'),
    `the API server does not accept the credentials in --kubeconfig-file ${kubeconfig}: users[0].user.token; renew them`,
  );
  b.api.writeKubeconfig({ token: 'new' });
  await opened;
});

t.test('ApiClient sends the name and the version of Weft', async (t) => {
  const b = await harness(t);
  await b.start();
  for (const { userAgent, path } of b.api.requests) t.match(userAgent, /^weft\/\d+\.\d+\.\d+$/, path);
});

t.test('open logs at once that the cluster has no node of this name', async (t) => {
  const b = await harness(t, { env: { NODE_NAME: 'nope' }, timing: { acquireMs: 60_000 } });
  for (let i = 1; i <= 6; i++) b.api.put(peerNode(i));
  const opened = b.open();
  const words =
    'waiting for node "nope": "kubectl get nodes" does not show it, but me, node-1, node-2, node-3, node-4 and 2 more; ';
  mentions(t, await b.logged('waiting for node'), words, 'set NODE_NAME to the name of this node');
  mentions(t, b.source.notReady ?? '', words);
  b.api.put(kubeNode('nope', ['10.1.2.0/24']));
  await opened;
  t.equal(b.source.notReady, null);
  await b.logged('node "nope" is registered');
  const quoted = await harness(t, { env: { NODE_NAME: '"me"' } });
  mentions(t, await refusal(t, () => quoted.open()), 'NODE_NAME is "me": the quote characters are part');
});

t.test('describeMissingNode says that the cluster shows no node', async (t) => {
  t.match(
    describeMissingNode('nope', new Map()),
    /^waiting for node "nope": "kubectl get nodes" shows no node; start its kubelet/,
  );
});

t.test('Publisher restores removed annotations with one patch', async (t) => {
  const b = await harness(t);
  await b.start();
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
  'KubernetesLeaseSource publishes a re-registered node, follows its pod CIDR and clears its condition',
  async (t) => {
    const b = await harness(t);
    const own = (await b.start()).ipv4?.own as Lease;
    b.source.markReady();
    const cleared = () =>
      b.api.nodes
        .get('me')
        ?.status.conditions?.some(({ type, status }) => type === 'NetworkUnavailable' && status === 'False');
    await until('cleared', cleared);
    b.api.remove('me');
    b.api.put(kubeNode('me', ['10.1.7.0/24'], {}, 'another'));
    await b.delivered('10.1.7.0/24 at 192.0.2.1');
    await until('cleared again', cleared);
    t.match(b.api.nodes.get('me')?.metadata.annotations?.[`${PREFIX}backend-data`], own.vtepMac as string);
    b.api.change('me', (node) => {
      for (const condition of node.status.conditions ?? [])
        if (condition.type === 'NetworkUnavailable') condition.status = 'True';
    });
    await until('and after it turned True', cleared);
  },
);

t.test('Publisher retries to clear the condition', async (t) => {
  const b = await harness(t);
  await b.start();
  b.api.replay('error-403-patch-node', { applies: ({ body }) => body.includes('conditions'), times: 2 });
  b.source.markReady();
  mentions(
    t,
    await b.logged('CompleteLease execute error err: '),
    'the ClusterRole must grant patch on nodes/status',
  );
  await until('cleared', () =>
    b.api.nodes.get('me')?.status.conditions?.some(({ type }) => type === 'NetworkUnavailable'),
  );
});

t.test('Publisher leaves the condition with --set-node-network-unavailable=false', async (t) => {
  const b = await harness(t, { options: { setNodeNetworkUnavailable: false } });
  await b.start();
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

t.test('KubernetesLeaseSource delivers the next set to a listener that refused one', async (t) => {
  const b = await harness(t);
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

t.test('open reads net-conf.json, without its ranges', async (t) => {
  const wrong = { options: { netConfigPath: '/nowhere/net-conf.json' } };
  mentions(
    t,
    await refusal(t, async () => (await harness(t, wrong)).open()),
    'Failed to create SubnetManager: failed to read net conf: --net-config-path /nowhere/net-conf.json: no such file',
  );
  mentions(
    t,
    await refusal(t, async () => (await harness(t, { netConf: '{"Network":' })).open()),
    'Failed to create SubnetManager: error parsing subnet config: ',
  );
  const b = await harness(t, { netConf: '{"Network":"10.0.0.0/8","SubnetLen":4,"SubnetMin":"1.2.3.4"}' });
  await b.open();
});

t.test("open takes the node's name from the pod if NODE_NAME is unset", async (t) => {
  const env = { NODE_NAME: undefined, POD_NAME: 'weft-x', POD_NAMESPACE: 'kube-flannel' };
  const failed = async (more: object): Promise<string> =>
    refusal(t, async () => (await harness(t, { env: { ...env, ...more } })).open());
  const b = await harness(t, { env });
  b.api.pods.set('kube-flannel/weft-x', 'me');
  await b.open();
  t.equal(b.source.name, 'Kubernetes Subnet Manager - me');
  mentions(t, await failed({ POD_NAME: '' }), 'env variables POD_NAME and POD_NAMESPACE must be set');
  mentions(t, await failed({}), "error retrieving pod spec for 'kube-flannel/weft-x'");
  const unscheduled = await harness(t, { env });
  unscheduled.api.pods.set('kube-flannel/weft-x', undefined);
  mentions(
    t,
    await refusal(t, () => unscheduled.open()),
    "node name not present in pod spec 'kube-flannel/weft-x'",
  );
  const forbidden = await harness(t, { env });
  forbidden.api.replay('error-403-list', { applies: ({ path }) => path.includes('/pods/') });
  mentions(
    t,
    await refusal(t, () => forbidden.open()),
    "Failed to create SubnetManager: error retrieving pod spec for 'kube-flannel/weft-x': the server does not allow access to the requested resource",
  );
});

t.test('open refuses an invalid configuration', async (t) => {
  const words = 'Failed to create SubnetManager: fail to create kubernetes config: ';
  const failed = async (options: object): Promise<string> =>
    refusal(t, async () =>
      (await harness(t, { options, env: { KUBERNETES_SERVICE_HOST: undefined } })).open(),
    );
  mentions(
    t,
    await failed({ kubeconfigFile: '/nowhere/kubeconfig' }),
    words,
    '/nowhere/kubeconfig',
    'no such file',
  );
  mentions(t, await failed({ kubeconfigFile: undefined, apiUrl: 'here' }), words, '"here" is not the URL');
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

t.test("open uses the service account in a pod, and logs client-go's warning", async (t) => {
  const b = await harness(t, { options: { kubeconfigFile: undefined } });
  serviceAccountOf(t, b.api);
  b.api.token = 'of-the-pod';
  await b.open();
  await b.logged(
    'Neither --kubeconfig nor --master was specified.  Using the inClusterConfig.  This might not work.',
  );
});

t.test(
  'ApiClient uses the client certificate; --kube-api-url overrides the server in the kubeconfig',
  async (t) => {
    const b = await harness(t, { options: { apiUrl: 'https://127.0.0.1:1' } });
    b.api.writeKubeconfig('certificate');
    const opening = b.open();
    opening.catch(() => undefined);
    mentions(
      t,
      await b.logged('waiting for the Kubernetes API server'),
      'https://127.0.0.1:1',
      'ECONNREFUSED',
    );
    t.match(b.source.notReady, 'ECONNREFUSED');
    const other = await harness(t);
    other.api.writeKubeconfig('certificate');
    await other.open();
    t.equal(other.api.requests[0]?.client, 'weft-client');
  },
);

t.test('open rejects with the reason of an abort while it waits', async (t) => {
  const b = await harness(t);
  await b.api.stop();
  const leaving = new AbortController();
  const opened = b.source.open(leaving.signal);
  await b.logged('waiting for');
  const reason = new Error('leaving');
  leaving.abort(reason);
  await t.rejects(opened, reason);
  await b.source.close();
  await b.source.close();
  await b.api.restart();
});

t.test('open warns of an EVENT_QUEUE_DEPTH that is not a number', async (t) => {
  const b = await harness(t, { env: { EVENT_QUEUE_DEPTH: 'many' } });
  await b.open();
  await b.logged('env EVENT_QUEUE_DEPTH=many format error');
});
