/** From flanneld to weft on a node whose kernel has vxlan, and back, without the peers noticing. */

import t from 'tap';
import { startKernel } from '../../lab/dataplanes/kernel.js';
import { ipBatch, ipJson } from '../../lab/ip.js';
import { makeBed, startWeft, withKernelVxlan } from './support/bed.js';
import { answered } from './support/pings.js';
import { refused } from './support/refusal.js';

t.test('a vxlan device of the kernel', await withKernelVxlan(), async (t) => {
  const lab = await makeBed(t, { name: 'adopt' });
  const [node, other] = [lab.node(1), lab.node(2)];
  await Promise.all([startKernel(node), startKernel(other)]);
  await answered(t, lab.pod(1), lab.pod(2).address, 'as flanneld left it');

  await t.test('is in the way, and the way out is named', (t) =>
    refused(t, node, { line: /flannel\.1 exists: it is a kernel vxlan device .*--adopt/ }),
  );

  await t.test('stays where the start is refused for another reason', (t) =>
    refused(t, node, {
      name: 'wrong',
      leases: other.peers().slice(0, 0),
      flags: ['--adopt'],
      line: /no lease for this node/,
    }),
  );

  await t.test('makes room with --adopt, and its MAC is kept', async (t) => {
    const weft = await startWeft(t, node, { flags: ['--adopt'] });
    const [link] = await ipJson<object[]>(node.netns, '-details', 'link', 'show', 'dev', 'flannel.1');
    t.match(link, { address: node.vtepMac, linkinfo: { info_kind: 'tun' } });
    await answered(t, lab.pod(1), lab.pod(2).address);
    await answered(t, lab.pod(2), lab.pod(1).address, 'the peer sends as before');
    t.strictSame(await weft.end(), { code: 0, signal: null });
  });

  await t.test('can come again once weft has ended', async (t) => {
    await startKernel(node);
    await answered(t, lab.pod(1), lab.pod(2).address);
  });
});

t.test('--adopt changes nothing where there is nothing to adopt, or something else', async (t) => {
  const lab = await makeBed(t, { name: 'nothing' });
  const node = lab.node(1);
  await startWeft(t, node, { flags: ['--adopt'] });
  await ipBatch(lab.node(2).netns, ['link add flannel.1 type veth peer name other0']);
  await refused(t, lab.node(2), { flags: ['--adopt'], line: /flannel\.1 exists: it is a veth device/ });
});
