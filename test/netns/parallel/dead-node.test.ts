/** The Node of a dead machine whose address a live machine has now. */

import { existsSync } from 'node:fs';
import t from 'tap';
import { until } from '../../../lab/until.js';
import { kubeNode, vxlanAnnotations } from '../../support/kube-nodes.js';
import { makeBed } from '../support/bed.js';
import { runCommand } from '../support/cli.js';
import { isReady, type Member } from '../support/cluster.js';
import { makeCluster } from '../support/kube-cluster.js';
import { answered } from '../support/pings.js';
import { statusOf } from '../support/state.js';

for (const { backend, overhead, data } of [
  { backend: 'vxlan', overhead: 50, data: {} },
  { backend: 'udp', overhead: 28, data: { 'backend-type': '', 'backend-data': 'null' } },
]) {
  t.test(`a dead Node with the address of a live one cuts off neither of two ${backend} nodes`, async (t) => {
    const lab = await makeBed(t, { name: `dead${backend}`, nodes: 3, overhead });
    const { api, start } = await makeCluster(t, lab, {
      Network: '10.244.0.0/16',
      Backend: { Type: backend },
    });
    const [one, three] = [lab.node(1), lab.node(3)];
    api.fill([one, three].map(({ name, subnet }) => kubeNode(name, [subnet])));
    const dead = (name: string, subnet: string, mac = '02:00:00:00:09:09') => {
      const node = kubeNode(name, [subnet], vxlanAnnotations(three.address, mac, data));
      node.status.conditions = [{ type: 'Ready', status: 'Unknown' }];
      return node;
    };
    api.fill([dead('a-old', '10.244.8.0/24'), dead('z-old', '10.244.9.0/24')]);
    const members = [await start(t, 1), await start(t, 3)];
    await Promise.all(members.map((member) => isReady(member)));
    const [first, third] = members as [Member, Member];
    // The other Node has this node's own address and is no peer of it.
    await until('a peer of the third node', async () => (await statusOf(third)).peers.length === 1);
    const peers = async (count: number): Promise<void> => {
      await until(`${count} peers`, async () => (await statusOf(first)).peers.length === count);
      await answered(t, lab.pod(1), lab.pod(3).address, `with ${count} peers`);
      await answered(t, lab.pod(3), lab.pod(1).address, 'and back');
    };
    await peers(3);
    for (const [left, name] of [
      [2, 'a-old'],
      [1, 'z-old'],
    ] as const) {
      api.remove(name);
      await peers(left);
    }
    // Both were the same machine, and Weft 0.1 derived one MAC for both.
    const { vtepMAC } = (await statusOf(third)).lease;
    api.put(dead('a-old', '10.244.8.0/24', vtepMAC));
    await peers(2);
    api.remove('a-old');
    await peers(1);
    await first.process.stop();
    await runCommand(one, ['cleanup', '--run-dir', first.runDir]);
    t.notOk(existsSync(first.runDir), 'weft cleanup removes the stored MAC too');
  });
}
