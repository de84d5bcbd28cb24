/** The start of a baseline of bench/: a Node program that copies packets of a device made by iproute2. */

import { ipBatch } from '../ip.js';
import { type Lease, writeLeases } from '../leases.js';
import type { LabNode } from '../node.js';
import { DIST } from '../world.js';
import type { Dataplane } from './dataplane.js';

/** Starts bench/<kind>/<kind>.ts on a persistent TAP or TUN of the node, and waits until it prints that it is ready. */
export async function startScript(
  node: LabNode,
  kind: 'naive' | 'proxy',
  device: string,
  peers: readonly Lease[],
): Promise<Dataplane> {
  const file = `${node.dir}/${kind}.json`;
  await writeLeases(file, peers);
  const script = `${DIST}bench/${kind}/${kind}.js`;
  const running = node.start([process.execPath, script, device, node.address, file], {
    name: `${kind} on ${node.name}`,
  });
  let stopped = false;
  const dataplane: Dataplane = {
    kind,
    node,
    pids: () => (running.ended === undefined ? [running.pid] : []),
    tail: () => running.tail(),
    async stop() {
      if (stopped) return;
      stopped = true;
      await running.stop('SIGKILL');
      await ipBatch(node.netns, [`link delete ${device}`]);
    },
  };
  node.own(dataplane);
  await running.waitFor(new RegExp(`${kind}: ready`));
  return dataplane;
}
