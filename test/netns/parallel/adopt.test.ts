/** A node with kernel vxlan changes from flanneld to Weft and back; its peers need no change. */

import t, { type Test } from 'tap';
import { startKernel } from '../../../lab/dataplanes/kernel.js';
import { ipBatch, ipJson } from '../../../lab/ip.js';
import { makeBed, startWeft, withKernelVxlan } from '../support/bed.js';
import { runCommand } from '../support/cli.js';
import { isReady } from '../support/cluster.js';
import {
  DEVICE6,
  dualConf,
  dualLease,
  makeDualBed,
  pod6,
  settled6,
  startKernel6,
  vtepMac6,
} from '../support/dual-bed.js';
import { annotationsOf, dualAnnotations, dualNode, makeCluster } from '../support/kube-cluster.js';
import { answered } from '../support/pings.js';
import { refused } from '../support/refusal.js';
import { deviceOf } from '../support/state.js';

t.test('weft run on a node with a kernel vxlan device', await withKernelVxlan(), async (t) => {
  const lab = await makeBed(t, { name: 'adopt' });
  const [node, other] = [lab.node(1), lab.node(2)];
  await Promise.all([startKernel(node), startKernel(other)]);
  await answered(t, lab.pod(1), lab.pod(2).address, 'pods reach each other over the kernel device');

  await t.test('a start without --adopt is refused and names --adopt', (t) =>
    refused(t, node, { line: /flannel\.1 exists: it is a kernel vxlan device .*--adopt/ }),
  );

  await t.test('a start with --adopt that is refused for another reason leaves the device', (t) =>
    refused(t, node, {
      name: 'wrong',
      leases: other.peers().slice(0, 0),
      flags: ['--adopt'],
      line: /no lease for this node/,
    }),
  );

  await t.test('a start with --adopt replaces the device and keeps its MAC', async (t) => {
    const weft = await startWeft(t, node, { flags: ['--adopt'] });
    const [link] = await ipJson<object[]>(node.netns, '-details', 'link', 'show', 'dev', 'flannel.1');
    t.match(link, { address: node.vtepMac, linkinfo: { info_kind: 'tun' } });
    await answered(t, lab.pod(1), lab.pod(2).address);
    await answered(t, lab.pod(2), lab.pod(1).address, 'and in the other direction');
    t.strictSame(await weft.end(), { code: 0, signal: null });
  });

  await t.test('the kernel device can be created again after weft cleanup', async (t) => {
    await runCommand(node, ['cleanup', '--run-dir', `${node.dir}/run`]);
    await startKernel(node);
    await answered(t, lab.pod(1), lab.pod(2).address);
  });
});

t.test('weft run on a node with a kernel vxlan device of each family', await withKernelVxlan(), async (t) => {
  const lab = await makeDualBed(t, { name: 'adopt6', nodes: 3 });
  const [node, other] = [lab.node(1), lab.node(2)];
  await startKernel6(node, [other]);

  await t.test('a start without --adopt is refused for the IPv6 device alone', async (t) => {
    await settled6(node);
    await refused(t, node, {
      leases: lab.nodes.map(dualLease),
      netConf: dualConf(),
      line: /flannel-v6\.1 exists: it is a kernel vxlan device .*--adopt/,
    });
  });

  await Promise.all([startKernel(node), startKernel(other), startKernel6(other, [node])]);
  const reach = async (t: Test, what: string) => {
    for (const [here, there] of [
      [lab.pod(1), lab.pod(2)],
      [lab.pod(2), lab.pod(1)],
    ] as const) {
      await answered(t, here, there.address, `${what}: ${here.name}, IPv4`);
      await answered(t, here, pod6(there).address, `${what}: ${here.name}, IPv6`);
    }
  };
  await reach(t, 'pods reach each other over the kernel device');

  await t.test(
    'a start with --adopt replaces both devices, keeps both MACs and publishes them',
    async (t) => {
      const { api, start } = await makeCluster(t, lab, dualConf());
      // Only the devices hold this node's MACs.
      api.fill([dualNode(node), dualNode(other, dualAnnotations(other))]);
      const weft = await start(t, 1, { flags: ['--adopt'] });
      await isReady(weft);
      t.match(await deviceOf(node), { kind: 'tun tap', mac: node.vtepMac });
      t.match(await deviceOf(node, DEVICE6), { kind: 'tun tap', mac: vtepMac6(node) });
      t.strictSame(annotationsOf(api, node.name), dualAnnotations(node));
      await reach(t, 'over Weft');
      t.strictSame(await weft.process.stop(), { code: 0, signal: null });
    },
  );
});

t.test('--adopt changes nothing without a device, and refuses a device of another kind', async (t) => {
  const lab = await makeBed(t, { name: 'nothing' });
  const node = lab.node(1);
  await startWeft(t, node, { flags: ['--adopt'] });
  await ipBatch(lab.node(2).netns, ['link add flannel.1 type veth peer name other0']);
  await refused(t, lab.node(2), { flags: ['--adopt'], line: /flannel\.1 exists: it is a veth device/ });
});
