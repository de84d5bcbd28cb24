/** The DaemonSet of deploy/kubernetes/weft.yaml, in the container that its manifest describes. */

import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { load, loadAll } from 'js-yaml';
import t from 'tap';
import { READY } from '../../lab/dataplanes/weft.js';
import { sysctl } from '../../lab/ip.js';
import type { LabNode } from '../../lab/node.js';
import { until } from '../../lab/until.js';
import { kubeNode } from '../support/kube-nodes.js';
import { KUBERNETES, type Manifest, podOf } from '../support/manifests.js';
import { makeBed } from './support/bed.js';
import { fastPathIs } from './support/fast-path.js';
import { answered } from './support/pings.js';
import { makePodCluster, type Pod } from './support/pod.js';
import { routesOf, statusOf } from './support/state.js';

const MANIFESTS = loadAll(readFileSync(`${KUBERNETES}/weft.yaml`, 'utf8')) as Manifest[];

async function makeCluster(t: Parameters<typeof makeBed>[0], name: string) {
  const lab = await makeBed(t, { name, nodes: 3 });
  const cluster = await makePodCluster(t, lab, MANIFESTS);
  cluster.api.fill([1, 2].map((index) => kubeNode(`node${index}`, [`10.244.${index}.0/24`])));
  return { lab, ...cluster };
}

async function reduced(pod: Pod): Promise<void> {
  await until('the privileges are dropped', async () => (await statusOf(pod)).privileges?.noNewPrivileges);
}

async function forwardingOf(node: LabNode): Promise<string> {
  return (await node.exec(['cat', '/proc/sys/net/ipv4/conf/flannel.1/forwarding'])).stdout.trim();
}

t.test('the pods of the DaemonSet', async (t) => {
  const { lab, api, start } = await makeCluster(t, 'daemonset');
  // New devices do not forward: Weft has to set the sysctl.
  await sysctl(lab.node(1).netns, { 'net/ipv4/conf/default/forwarding': 0 });
  const pods = [await start(t, lab.node(1)), await start(t, lab.node(2))];
  const [first] = pods as [Pod];
  for (const pod of pods) await pod.process.waitFor(READY);

  await t.test('are ready, and answer the probes', async (t) => {
    for (const pod of pods)
      await until('readiness', async () => (await pod.probe()) === '200 flanneld is ready');
    const problems = first.process.output.split('\n').filter((line) => /^[EW]\d/.test(line));
    // flannel's own words about a service account, and a module that this machine may lack.
    t.strictSame(
      problems.filter((line) => !/using the inClusterConfig|br_netfilter/i.test(line)),
      [],
    );
  });

  await t.test("reach each other's pods", async (t) => {
    for (const node of [lab.node(1), lab.node(2)])
      await until('the route', async () => (await routesOf(node)).length === 1);
    await answered(t, lab.pod(1), lab.pod(2).address);
    await answered(t, lab.pod(2), lab.pod(1).address);
  });

  await t.test('set the sysctls of the device in a read-only /proc/sys', async (t) => {
    t.equal(await forwardingOf(lab.node(1)), '1');
  });

  await t.test('send no request that the ClusterRole does not grant', async (t) => {
    const kinds = api.requests.map(({ method, path }) => `${method} ${path.replace(/\?.*/, '')}`);
    t.strictSame([...new Set(kinds)].sort(), [
      'GET /api/v1/nodes',
      'PATCH /api/v1/nodes/node1/status',
      'PATCH /api/v1/nodes/node2/status',
    ]);
  });

  await t.test('write subnet.env on the host', async (t) => {
    t.match(readFileSync(first.subnetFile, 'utf8'), /^FLANNEL_SUBNET=10\.244\.1\.1\/24$/m);
  });

  await t.test('drop what they do not need, without a problem', async (t) => {
    await reduced(first);
    t.match(await statusOf(first), {
      privileges: { capabilities: ['CAP_NET_ADMIN', 'CAP_PERFMON', 'CAP_BPF'], problems: [] },
    });
  });

  await t.test("have the fast path, pinned in the host's BPF file system", async (t) => {
    await fastPathIs(first, true);
    t.ok(readdirSync(`${lab.node(1).dir}/host/sys/fs/bpf`).includes('weft'));
  });

  await t.test('end with 0 on SIGTERM, and the next pod adopts the device', async (t) => {
    const { lease } = await statusOf(first);
    t.strictSame(await first.end(), { code: 0, signal: null });
    await answered(t, lab.pod(2), lab.pod(1).address, 'the fast path goes on without a pod');
    const next = await start(t, lab.node(1));
    await next.process.waitFor(READY);
    t.strictSame((await statusOf(next)).lease, lease);
    await answered(t, lab.pod(1), lab.pod(2).address);
    t.strictSame(await next.end(), { code: 0, signal: null });
  });

  await t.test('remove what they left after cleanup.patch.yaml', async (t) => {
    const patch = load(readFileSync(`${KUBERNETES}/cleanup.patch.yaml`, 'utf8')) as Manifest;
    const pod = await start(t, lab.node(1), {
      patch: podOf([{ ...patch, kind: 'DaemonSet' }]).containers[0],
    });
    t.strictSame(await pod.process.exited, { code: 0, signal: null });
    const { stdout } = await lab.node(1).exec(['sh', '-c', 'ip -oneline link; iptables-save']);
    t.notMatch(stdout, /flannel|weft/i);
    t.notOk(readdirSync(`${lab.node(1).dir}/host/sys/fs/bpf`).includes('weft'));
    t.notOk(existsSync(first.subnetFile));
  });
});

/** What a pod says that lacks one capability of the manifest. */
const LACKS: Record<string, RegExp> = {
  NET_ADMIN: /user 0 lacks CAP_NET_ADMIN/,
  BPF: /no fast path for flannel\.1: this process lacks CAP_BPF/,
  PERFMON:
    /no fast path for flannel\.1: this process lacks CAP_PERFMON|started without CAP_PERFMON \(fast path\)/,
  SETPCAP: /not every privilege was dropped: bounding set: EPERM, CAP_SETPCAP is missing/,
  NET_RAW: /Weft was started without CAP_NET_RAW \(legacy iptables\)/,
};

t.test('a pod of the DaemonSet with one capability less names it', async (t) => {
  const { lab, start } = await makeCluster(t, 'fewer-caps');
  const { add } = podOf(MANIFESTS).containers[0].securityContext?.capabilities ?? { add: [] };
  t.strictSame(Object.keys(LACKS).sort(), [...add].sort());
  for (const [withoutCapability, text] of Object.entries(LACKS)) {
    // kubelet's chain selects legacy iptables, which alone needs CAP_NET_RAW.
    if (withoutCapability === 'NET_RAW')
      await lab.node(1).exec(['iptables-legacy', '-t', 'mangle', '-N', 'KUBE-KUBELET-CANARY']);
    const pod = await start(t, lab.node(1), { withoutCapability });
    t.ok(await pod.process.waitFor(text), withoutCapability);
    await pod.process.stop('SIGKILL');
  }
});

t.test('a pod without /host/proc/sys/net is ready, and says what it cannot set', async (t) => {
  const { lab, start } = await makeCluster(t, 'no-sysctls');
  await sysctl(lab.node(1).netns, { 'net/ipv4/conf/default/forwarding': 0 });
  const pod = await start(t, lab.node(1), { withoutMount: '/host/proc/sys/net' });
  await pod.process.waitFor(READY);
  t.match(
    pod.process.output,
    /flannel\.1\/forwarding cannot be set \(EROFS\): the kernel drops packets from other nodes to pods; mount the host's/,
  );
  t.equal(await forwardingOf(lab.node(1)), '0');
});
