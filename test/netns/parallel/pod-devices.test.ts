/**
 * Pods behind devices that take no superpackets from the kernel, or take them with a virtio-net header. What the fast path
 * decapsulates is cut, and its checksums are completed, on the way to them.
 */

import t, { type Test } from 'tap';
import { startKernel } from '../../../lab/dataplanes/kernel.js';
import type { Lab } from '../../../lab/lab.js';
import type { LabNode, Pod } from '../../../lab/node.js';
import { DIST } from '../../../lab/world.js';
import { atLevel, makeBed, startWeft, startWefts, withKernelVxlan } from '../support/bed.js';
import { damageIn, refusedBy } from '../support/harm.js';
import { answered } from '../support/pings.js';
import { datagrams, segmentedDatagrams, stream } from '../support/transfer.js';

const MEGABYTE = 1 << 20;

/** What stands between a node's bridge and the first pod. */
const DEVICES: Record<string, (node: LabNode, pod: Pod) => Promise<void>> = {
  'a veth without any offload': withoutOffloads,
  'a TAP with a virtio-net header': (node, pod) => behindTap(node, pod, 'offloads'),
  'a TAP without a virtio-net header': (node, pod) => behindTap(node, pod, 'none'),
};

async function withoutOffloads(node: LabNode): Promise<void> {
  await node.exec(['ethtool', '-K', 'veth1', 'tso', 'off', 'gso', 'off', 'tx', 'off', 'sg', 'off']);
}

/** Replaces the pod's veth pair by two TAP devices and a program between them. */
async function behindTap(node: LabNode, pod: Pod, mode: 'offloads' | 'none'): Promise<void> {
  await node.exec(['ip', 'link', 'delete', 'veth1']);
  const wire = node.start([
    ...[process.execPath, `${DIST}test/netns/peer/tap-wire.js`],
    ...['tap1', 'guest1', mode],
  ]);
  await wire.waitFor(/joined/);
  const inPod = ['ip', 'netns', 'exec', pod.netns, 'ip'];
  for (const command of [
    ['ip', 'link', 'set', 'tap1', 'mtu', `${node.podMtu}`, 'master', 'cni0', 'up'],
    ['ip', 'link', 'set', 'guest1', 'netns', pod.netns, 'name', 'eth0'],
    [...inPod, 'link', 'set', 'eth0', 'mtu', `${node.podMtu}`, 'up'],
    [...inPod, 'address', 'add', `${pod.address}/24`, 'dev', 'eth0'],
    [...inPod, 'route', 'add', 'default', 'via', `10.244.${node.index}.1`],
  ])
    await node.exec(command);
}

/** Asserts that TCP and UDP arrive unharmed in both directions. */
async function exchanges(t: Test, lab: Lab): Promise<void> {
  const [ours, theirs] = [lab.pod(1), lab.pod(2)];
  await answered(t, ours, theirs.address, 'a ping');
  for (const [from, to] of [
    [ours, theirs],
    [theirs, ours],
  ] as const) {
    const { sent, received } = await stream(from, to, 8 * MEGABYTE);
    t.equal(received, sent, `TCP from ${from.name}`);
    t.equal(await datagrams(from, to, 300, 1400), 'whole 300 damaged 0', `UDP from ${from.name}`);
  }
  // The pod of the peer has a veth with all offloads.
  t.equal(await segmentedDatagrams(theirs, ours, 300, 1400), 'whole 300 damaged 0', 'UDP superpackets');
  t.strictSame(await damageIn(lab), {}, 'no network stack counts a broken packet');
}

const options = await withKernelVxlan();
for (const [device, connect] of Object.entries(DEVICES)) {
  for (const mode of ['plain', 'virt'] as const) {
    t.test(`at level bpf: a pod behind ${device}, the underlay a ${mode} link`, options, async (t) => {
      const lab = await makeBed(t, { name: 'poddevices', mode });
      await connect(lab.node(1), lab.pod(1));
      await t.test('with a kernel peer', async (t) => {
        const kernel = await startKernel(lab.node(2));
        const weft = await startWeft(t, lab.node(1), atLevel('bpf'));
        await exchanges(t, lab);
        t.strictSame(await refusedBy(weft), {}, 'Weft drops nothing');
        await kernel.stop();
      });
      await t.test('with a Weft peer', async (t) => {
        const wefts = await startWefts(t, lab.nodes, atLevel('bpf'));
        await exchanges(t, lab);
        for (const weft of wefts) t.strictSame(await refusedBy(weft), {}, `${weft.node.name} drops nothing`);
      });
    });
  }
}
