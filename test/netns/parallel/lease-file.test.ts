/** The lease file behind a symbolic link, edited during the start, and with changes that the kernel refuses. */

import { mkdir, rename, symlink } from 'node:fs/promises';
import t from 'tap';
import { ipBatch } from '../../../lab/ip.js';
import { writeLeases } from '../../../lab/leases.js';
import { until } from '../../../lab/until.js';
import { makeBed, startWeft } from '../support/bed.js';
import { settled, stateFor } from '../support/state.js';

t.test(
  'Weft follows a lease file behind a link that is swapped as Kubernetes swaps a ConfigMap',
  async (t) => {
    const lab = await makeBed(t, { name: 'configmap' });
    const node = lab.node(1);
    const dir = `${lab.dir}/config`;
    const leaseFile = `${dir}/leases.json`;
    await mkdir(`${dir}/one`, { recursive: true });
    await mkdir(`${dir}/two`);
    await writeLeases(`${dir}/one/leases.json`, [node.lease()]);
    await writeLeases(`${dir}/two/leases.json`, lab.leases());
    await symlink('one', `${dir}/data`);
    await symlink('data/leases.json', leaseFile);
    const weft = await startWeft(t, node, { leaseFile });
    t.strictSame(await settled(node, weft, []), stateFor([]));
    await symlink('two', `${dir}/fresh`);
    await rename(`${dir}/fresh`, `${dir}/data`);
    t.strictSame(await settled(node, weft, node.peers()), stateFor(node.peers()));
  },
);

t.test('an edit during the start is applied', async (t) => {
  const lab = await makeBed(t, { name: 'earlyedit' });
  const node = lab.node(1);
  const leaseFile = `${lab.dir}/leases.json`;
  await writeLeases(leaseFile, [node.lease()]);
  const starting = startWeft(t, node, { leaseFile });
  await until('the device', async () => (await node.exec(['ip', '-o', 'link'])).stdout.includes('flannel.1'));
  await writeLeases(leaseFile, lab.leases());
  t.strictSame(await settled(node, await starting, node.peers()), stateFor(node.peers()));
});

t.test('a change that the kernel refuses is logged, retried and made once possible', async (t) => {
  const lab = await makeBed(t, { name: 'retry' });
  const node = lab.node(1);
  const weft = await startWeft(t, node, { leases: [node.lease()] });
  await ipBatch(node.netns, ['link set flannel.1 down']);
  await writeLeases(weft.leaseFile, [node.lease(), ...node.peers()]);
  t.strictSame(await settled(node, weft, node.peers()), stateFor(node.peers()));
});
