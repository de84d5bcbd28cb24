/** Nodes with leases from Kubernetes: the API server is the tests' own, the rest is real. */

import { readFileSync } from 'node:fs';
import t, { type Test } from 'tap';
import type { LabNode } from '../../lab/node.js';
import { memory } from '../../lab/proc.js';
import { until } from '../../lab/until.js';
import { kubeNode, PREFIX, peerNode, realisticNode } from '../support/kube-nodes.js';
import { makeBed } from './support/bed.js';
import { isReady, type Member, readiness } from './support/cluster.js';
import { dualConf, makeDualBed, pod6, state6, wanted6 } from './support/dual-bed.js';
import { annotationsOf, dualAnnotations, dualNode, makeCluster, TOKEN } from './support/kube-cluster.js';
import { answered, startFlood } from './support/pings.js';
import { routesOf, settled, stateFor, statusOf } from './support/state.js';

t.test('two Weft nodes with leases from Kubernetes', async (t) => {
  const lab = await makeBed(t, { name: 'kube', nodes: 3 });
  const { api, start } = await makeCluster(t, lab, {
    Network: '10.244.0.0/16',
    Backend: { Type: 'vxlan' },
  });
  api.fill([1, 2].map((index) => kubeNode(`node${index}`, [`10.244.${index}.0/24`])));
  const members = [await start(t, 1), await start(t, 2)];
  const [first] = members as [Member];
  await Promise.all(members.map((member) => isReady(member)));

  await t.test(
    "publish flannel's annotations and set the condition NetworkUnavailable to False",
    async (t) => {
      for (const [index, member] of members.entries()) {
        const name = `node${index + 1}`;
        const { lease } = await statusOf(member);
        await until('the condition', () => api.nodes.get(name)?.status.conditions?.length === 2);
        t.strictSame(annotationsOf(api, name), {
          [`${PREFIX}backend-data`]: `{"VNI":1,"VtepMAC":"${lease.vtepMAC}"}`,
          [`${PREFIX}backend-type`]: 'vxlan',
          [`${PREFIX}kube-subnet-manager`]: 'true',
          [`${PREFIX}public-ip`]: `192.168.77.${index + 1}`,
        });
        t.match(api.nodes.get(name)?.status.conditions, [
          {},
          { type: 'NetworkUnavailable', status: 'False', reason: 'FlannelIsUp' },
        ]);
      }
    },
  );

  await t.test("reach each other's pods", async (t) => {
    for (const node of [lab.node(1), lab.node(2)])
      await until('the route', async () => (await routesOf(node)).length === 1);
    await answered(t, lab.pod(1), lab.pod(2).address);
    await answered(t, lab.pod(2), lab.pod(1).address);
  });

  await t.test("log flannel's lines of a healthy start, in its order, and no token", async (t) => {
    const lines = [
      'CLI flags config: {',
      'Starting kube subnet manager',
      'Node controller sync successful',
      'Created subnet manager: Kubernetes Subnet Manager - node1',
      'Found network config - Backend type: vxlan',
      'Using interface with name eth0 and address 192.168.77.1',
      'Defaulting external address to interface address (192.168.77.1)',
      'VXLAN config: VNI=1 ',
      'Wrote subnet file to ',
      'flannel is ready',
      'Running backend.',
      'watching for new subnet leases',
    ];
    const { stderr } = first.process;
    const places = lines.map((line) => stderr.indexOf(`] ${line}`));
    t.notOk(places.includes(-1), `all are there: ${lines.filter((_, index) => places[index] === -1)}`);
    t.strictSame(
      places,
      [...places].sort((a, b) => a - b),
      'in order',
    );
    t.notMatch(stderr, TOKEN);
  });

  await t.test("send no request that flannel's role does not grant", async (t) => {
    const kinds = new Set(
      api.requests.map(
        ({ method, path }) => `${method} ${path.replace(/\?.*/, '').replace(/node\d/, 'NAME')}`,
      ),
    );
    t.strictSame([...kinds].sort(), ['GET /api/v1/nodes', 'PATCH /api/v1/nodes/NAME/status']);
  });

  await t.test('keep MAC and subnet over a restart without patching an annotation', async (t) => {
    const [, second] = members as [Member, Member];
    const { lease } = await statusOf(second);
    t.strictSame(await second.process.stop(), { code: 0, signal: null });
    const before = api.requests.length;
    const again = await start(t, 2);
    await isReady(again);
    members[1] = again;
    t.strictSame((await statusOf(again)).lease, lease);
    const patches = api.requests.slice(before).filter(({ method }) => method === 'PATCH');
    t.notOk(patches.some(({ body }) => body.includes('annotations')));
    await answered(t, lab.pod(1), lab.pod(2).address);
  });

  await t.test('forward without the API server, report the outage, and apply missed changes', async (t) => {
    const flood = startFlood(t, lab.pod(1), lab.pod(2).address);
    await api.stop();
    await until('readyz reports the outage', async () => (await readiness(first)).startsWith('503 '), {
      timeoutMs: 20_000,
    });
    api.put(peerNode(7));
    api.compact();
    await api.restart();
    await until('readyz', async () => (await readiness(first)) === '200 flanneld is ready', {
      timeoutMs: 40_000,
    });
    // 10.100.7.0/24 is outside Network, which flannel allows for peers.
    await until('the new route', async () => (await routesOf(lab.node(1))).length === 2);
    t.strictSame((await flood.end()).missing, [], 'no ping is lost');
  });

  await t.test('remove a deleted node', async (t) => {
    api.remove('node-7');
    await until('its route disappears', async () => (await routesOf(lab.node(1))).length === 1);
    t.pass();
  });
});

t.test('two Weft nodes of both families with leases from Kubernetes', async (t) => {
  const lab = await makeDualBed(t, { name: 'kube6', nodes: 3 });
  const [one, two, three] = [lab.node(1), lab.node(2), lab.node(3)];
  const { api, start } = await makeCluster(t, lab, dualConf());
  // The second node was in the cluster before, with another address.
  api.fill([dualNode(one), dualNode(two, dualAnnotations(two, { 'public-ipv6': 'fd00:77::99' }))]);
  const members = [await start(t, 1), await start(t, 2)];
  const [first] = members as [Member];
  await Promise.all(members.map((member) => isReady(member)));

  await t.test("publish flannel's annotations of both families and keep both MACs", async (t) => {
    const { lease, ipv6 } = await statusOf(first);
    t.strictSame(annotationsOf(api, 'node1'), {
      'flannel.alpha.coreos.com/backend-data': `{"VNI":1,"VtepMAC":"${lease.vtepMAC}"}`,
      'flannel.alpha.coreos.com/backend-type': 'vxlan',
      'flannel.alpha.coreos.com/backend-v6-data': `{"VNI":1,"VtepMAC":"${ipv6?.lease.vtepMAC}"}`,
      'flannel.alpha.coreos.com/kube-subnet-manager': 'true',
      'flannel.alpha.coreos.com/public-ip': '192.168.77.1',
      'flannel.alpha.coreos.com/public-ipv6': 'fd00:77::1',
    });
    t.not(ipv6?.lease.vtepMAC, lease.vtepMAC, 'each device has a MAC of its own');
    t.strictSame(annotationsOf(api, 'node2'), {
      'flannel.alpha.coreos.com/backend-data': '{"VNI":1,"VtepMAC":"02:00:00:00:00:02"}',
      'flannel.alpha.coreos.com/backend-type': 'vxlan',
      'flannel.alpha.coreos.com/backend-v6-data': '{"VNI":1,"VtepMAC":"02:00:00:00:06:02"}',
      'flannel.alpha.coreos.com/kube-subnet-manager': 'true',
      'flannel.alpha.coreos.com/public-ip': '192.168.77.2',
      'flannel.alpha.coreos.com/public-ipv6': 'fd00:77::2',
    });
  });

  await t.test('write both families into subnet.env', (t) => {
    t.equal(
      readFileSync(first.subnetFile, 'utf8'),
      'FLANNEL_NETWORK=10.244.0.0/16\nFLANNEL_SUBNET=10.244.1.1/24\nFLANNEL_IPV6_NETWORK=fd00:244::/32\nFLANNEL_IPV6_SUBNET=fd00:244:1::1/64\nFLANNEL_MTU=1430\nFLANNEL_IPMASQ=false\n',
    );
    t.end();
  });

  /** Waits until the first node has exactly these peers of both families. */
  const has = async (t: Test, ...peers: LabNode[]) => {
    const leases = peers.map((peer) => peer.lease());
    t.strictSame(await settled(one, first, leases), stateFor(leases), 'IPv4');
    const wanted = wanted6(one, peers);
    await until('IPv6', async () => (await state6(one)).join() === wanted.join()).catch(() => undefined);
    t.strictSame(await state6(one), wanted, 'IPv6');
  };

  await t.test("reach each other's pods in both directions", async (t) => {
    await has(t, two);
    await until('the other knows', async () => (await statusOf(members[1] as Member)).ipv6?.peers.length);
    for (const [here, there] of [
      [lab.pod(1), lab.pod(2)],
      [lab.pod(2), lab.pod(1)],
    ] as const) {
      await answered(t, here, there.address);
      await answered(t, here, pod6(there).address);
    }
  });

  await t.test('add and remove a node of both families', async (t) => {
    api.put(dualNode(three, dualAnnotations(three)));
    await has(t, two, three);
    api.remove('node3');
    await has(t, two);
  });
});

t.test('Weft in a cluster of five thousand nodes keeps its memory small:', async (t) => {
  const lab = await makeBed(t, { name: 'kube5000', nodes: 3 });
  const { api, start } = await makeCluster(t, lab, { Network: '10.0.0.0/8', Backend: { Type: 'vxlan' } });
  api.fill([1, 2].map((index) => kubeNode(`node${index}`, [`10.244.${index}.0/24`])));
  api.fill(Array.from({ length: 5000 }, (_, index) => realisticNode(index)));
  const first = await start(t, 1);
  await isReady(first, 60_000);
  const { resident, peak } = memory(first.process.pid);
  t.comment(`RSS ${resident.toFixed(1)} MiB, peak ${peak.toFixed(1)} MiB`);
  t.equal((await statusOf(first)).peers.length, 5000);
  t.ok(peak <= 160, `no more than 160 MiB, ever: ${peak.toFixed(1)}`);
  const second = await start(t, 2);
  await isReady(second, 60_000);
  await until('the peer', async () => (await routesOf(lab.node(1))).length === 5001);

  await t.test('a node that flaps causes no other change', async (t) => {
    const flood = startFlood(t, lab.pod(1), lab.pod(2).address);
    const flapping = '10.100.9.0/24';
    const has = async () => (await statusOf(first)).peers.some(({ subnet }) => subnet === flapping);
    for (let round = 0; round < 5; round++) {
      api.remove('node-9');
      await until('it disappears', async () => !(await has()));
      api.put(realisticNode(9));
      await until('it comes', has);
    }
    t.strictSame((await flood.end()).missing, [], 'no ping is lost');
    const { stderr } = first.process;
    t.equal(stderr.match(/removing subnet/g)?.length, 5, 'only its own subnet is removed');
  });
});
