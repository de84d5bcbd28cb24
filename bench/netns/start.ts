/**
 * The figure 'start': the time from the start of the dataplane until the first packet of a pod behind it arrives.
 *
 *     pod of node 1 ── a datagram every 2 ms ── node 1, started now ── node 2, runs already ── pod of node 2: when?
 */

import { DIST } from '../../lab/world.js';
import { type Figure, reachable } from './figure.js';

const PORT = 9099;

export const startFigure: Figure = {
  name: 'start',
  metrics: [{ key: 'ms', title: 'start to first packet delivered', unit: 'ms', better: 'less' }],
  async measure({ lab, peer }) {
    const [here, there] = [lab.node(1), lab.node(2)];
    const beacon = [process.execPath, `${DIST}bench/netns/beacon.js`];
    const receiver = there.startInPod(lab.pod(2), [...beacon, 'receive', `${PORT}`], { name: 'receiver' });
    const sender = here.startInPod(lab.pod(1), [...beacon, 'send', `${PORT}`, lab.pod(2).address], {
      name: 'sender',
    });
    const remote = await peer.start(there);
    try {
      await receiver.waitFor(/receiving/);
      await sender.waitFor(/sending/);
      // Both clocks are the machine's monotonic one, which all processes share.
      const startedAt = process.hrtime.bigint();
      const local = await peer.start(here);
      try {
        const [, arrivedAt = ''] = await receiver.waitFor(/first at (\d+)/, 20_000);
        await reachable(lab);
        return { ms: Number(BigInt(arrivedAt) - startedAt) / 1e6 };
      } finally {
        await local.stop();
      }
    } finally {
      await remote.stop();
      await sender.stop('SIGKILL');
      await receiver.stop('SIGKILL');
    }
  },
};
