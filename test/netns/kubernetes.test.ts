/** Nodes that have their leases from Kubernetes: the API server is the tests' own, the rest is real. */

import { mkdir, writeFile } from 'node:fs/promises';
import t, { type Test } from 'tap';
import type { Lab } from '../../lab/lab.js';
import { memory } from '../../lab/proc.js';
import { until } from '../../lab/until.js';
import { KubeApi } from '../support/kube-api.js';
import { kubeNode, PREFIX, peerNode, realisticNode } from '../support/kube-nodes.js';
import { makeBed } from './support/bed.js';
import {
  isReady,
  joinUnderlay,
  type Member,
  readiness,
  SERVER_ADDRESS,
  startMember,
} from './support/cluster.js';
import { answered, startFlood } from './support/pings.js';
import { routesOf, statusOf } from './support/state.js';

const TOKEN = 'a-token-of-the-service-account';

interface Cluster {
  lab: Lab;
  api: KubeApi;
  /** Starts weft on a node of the lab, which Kubernetes knows by the same name. */
  start(t: Test, index: number, env?: NodeJS.ProcessEnv): Promise<Member>;
}

async function makeCluster(t: Test, name: string, network = '10.244.0.0/16'): Promise<Cluster> {
  const lab = await makeBed(t, { name, nodes: 3 });
  await joinUnderlay(t, lab);
  const dir = `${lab.dir}/api`;
  await mkdir(dir);
  const api = await KubeApi.start(dir, SERVER_ADDRESS);
  t.teardown(() => api.stop().catch(() => undefined));
  api.token = TOKEN;
  const kubeconfig = api.writeKubeconfig({ token: TOKEN });
  const netConfPath = `${lab.dir}/net-conf.json`;
  await writeFile(netConfPath, JSON.stringify({ Network: network, Backend: { Type: 'vxlan' } }));
  const start = (t: Test, index: number, env: NodeJS.ProcessEnv = { NODE_NAME: `node${index}` }) =>
    startMember(
      t,
      lab.node(index),
      [
        ...['--kube-subnet-mgr', `--kubeconfig-file=${kubeconfig}`, `--net-config-path=${netConfPath}`],
        '--healthz-port=8081',
      ],
      { env },
    );
  return { lab, api, start };
}

function annotationsOf(api: KubeApi, name: string): Record<string, string> {
  return api.nodes.get(name)?.metadata.annotations ?? {};
}

t.test('two nodes', async (t) => {
  const { lab, api, start } = await makeCluster(t, 'kube');
  api.fill([1, 2].map((index) => kubeNode(`node${index}`, [`10.244.${index}.0/24`])));
  const members = [await start(t, 1), await start(t, 2)];
  const [first] = members as [Member];
  await Promise.all(members.map((member) => isReady(member)));

  await t.test("publish flannel's annotations and say that their network is available", async (t) => {
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
  });

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

  await t.test('ask for nothing that the role of flannel does not grant', async (t) => {
    const kinds = new Set(
      api.requests.map(
        ({ method, path }) => `${method} ${path.replace(/\?.*/, '').replace(/node\d/, 'NAME')}`,
      ),
    );
    t.strictSame([...kinds].sort(), ['GET /api/v1/nodes', 'PATCH /api/v1/nodes/NAME/status']);
  });

  await t.test('keep MAC and subnet over a restart, and patch no annotation then', async (t) => {
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

  await t.test('go on without the API server, say so, and follow what happened meanwhile', async (t) => {
    const flood = startFlood(t, lab.pod(1), lab.pod(2).address);
    await api.stop();
    await until('readyz tells', async () => (await readiness(first)).startsWith('503 '), {
      timeoutMs: 20_000,
    });
    api.put(peerNode(7));
    api.compact();
    await api.restart();
    await until('readyz', async () => (await readiness(first)) === '200 flanneld is ready', {
      timeoutMs: 40_000,
    });
    // 10.100.7.0/24 lies outside of Network, as flannel allows it for others.
    await until('the new route', async () => (await routesOf(lab.node(1))).length === 2);
    t.strictSame((await flood.end()).missing, [], 'no ping was lost');
  });

  await t.test('remove a node that leaves', async (t) => {
    api.remove('node-7');
    await until('its route goes', async () => (await routesOf(lab.node(1))).length === 1);
    t.pass();
  });
});

t.test('five thousand nodes', async (t) => {
  const { lab, api, start } = await makeCluster(t, 'kube5000', '10.0.0.0/8');
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

  await t.test('one that flaps does not disturb the rest', async (t) => {
    const flood = startFlood(t, lab.pod(1), lab.pod(2).address);
    const flapping = '10.100.9.0/24';
    const has = async () => (await statusOf(first)).peers.some(({ subnet }) => subnet === flapping);
    for (let round = 0; round < 5; round++) {
      api.remove('node-9');
      await until('it goes', async () => !(await has()));
      api.put(realisticNode(9));
      await until('it comes', has);
    }
    t.strictSame((await flood.end()).missing, [], 'no ping was lost');
    const { stderr } = first.process;
    t.equal(stderr.match(/removing subnet/g)?.length, 5, 'nothing but its own changes was made');
  });
});
