/** Traffic in the background. */

import type { Test } from 'tap';
import type { WeftDataplane } from '../../../lab/dataplanes/weft.js';
import type { Pod } from '../../../lab/node.js';
import { LabProcess } from '../../../lab/process.js';
import { until } from '../../../lab/until.js';
import { statusOf } from './state.js';

/** Packets that have to pass before it counts as load. */
const UNDER_LOAD = 20_000;

/** Starts iperf3 both ways between two pods, until the test is over, and waits until packets flow through `weft`. */
export async function startLoad(t: Test, weft: WeftDataplane, from: Pod, to: Pod): Promise<void> {
  const server = new LabProcess(['iperf3', '-s', '-1', '--forceflush'], { netns: to.netns });
  t.teardown(() => server.stop('SIGKILL'));
  await server.waitFor(/listening/);
  const client = new LabProcess(['iperf3', '-c', to.address, '-t', '60', '--bidir'], { netns: from.netns });
  t.teardown(() => client.stop('SIGKILL'));
  const packets = async () => {
    const { counters } = await statusOf(weft);
    return counters.tx_packets + counters.rx_packets;
  };
  const before = await packets();
  await until('load', async () => (await packets()) > before + UNDER_LOAD, { timeoutMs: 10_000 });
}
