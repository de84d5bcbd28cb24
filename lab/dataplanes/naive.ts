// The naive Node dataplane of bench/naive on a node.

import { ipBatch } from '../ip.js';
import { type VxlanLease, writeLeases } from '../leases.js';
import type { LabNode } from '../node.js';
import { DIST } from '../world.js';
import { type Dataplane, DEVICE, deviceLines, programPeers } from './dataplane.js';

/** Starts the naive dataplane on a node: a persistent TAP made by iproute2, a process that copies packets one by one. */
export async function startNaive(
  node: LabNode,
  options: { readonly peers?: readonly VxlanLease[] } = {},
): Promise<Dataplane> {
  const peers = options.peers ?? node.peers();
  const file = `${node.dir}/naive.json`;
  await writeLeases(file, peers);
  await ipBatch(node.netns, [
    `tuntap add ${DEVICE} mode tap`,
    `link set ${DEVICE} address ${node.vtepMac} mtu ${node.podMtu}`,
    ...deviceLines(node),
  ]);
  const running = node.start([process.execPath, `${DIST}bench/naive/naive.js`, DEVICE, node.address, file], {
    name: `naive dataplane on ${node.name}`,
  });
  let stopped = false;
  const dataplane: Dataplane = {
    kind: 'naive',
    node,
    pids: () => (running.ended === undefined ? [running.pid] : []),
    tail: () => running.tail(),
    async stop() {
      if (stopped) return;
      stopped = true;
      await running.stop('SIGKILL');
      await ipBatch(node.netns, [`link delete ${DEVICE}`]);
    },
  };
  node.own(dataplane);
  await programPeers(node, peers, { fdb: false });
  await running.waitFor(/naive: ready/);
  return dataplane;
}
