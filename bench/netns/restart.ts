/** The figure 'restart': packets that are lost while Weft restarts, at 1 000 packets a second. */

import { setTimeout as delay } from 'node:timers/promises';
import { ready, spawnWeft, type WeftDataplane } from '../../lab/dataplanes/weft.js';
import type { LabProcess } from '../../lab/process.js';
import { DIST } from '../../lab/world.js';
import { type Bed, type Figure, withBoth } from './figure.js';

const PORT = 9100;
const RATE = 1000;
/** Time for the last packets to arrive. */
const SETTLE_MS = 500;

type Restart = (running: WeftDataplane, bed: Bed) => Promise<WeftDataplane>;

/** Ends Weft with a signal, and starts it as soon as it is gone, as a supervisor does. */
function startAfter(signal: NodeJS.Signals): Restart {
  return async (running, { peer }) => {
    await running.end(signal);
    return (await peer.start(running.node)) as WeftDataplane;
  };
}

const takeOver: Restart = async (running, { peer }) => {
  const next = await spawnWeft(running.node, { flags: ['--takeover', ...peer.flags] });
  await ready(next);
  await running.process.exited;
  return next;
};

async function counted(end: LabProcess): Promise<number> {
  await end.stop();
  return Number(/counted (\d+)/.exec(end.stdout)?.[1] ?? Number.NaN);
}

/** Returns how many packets are lost during a restart of the first node. */
async function lost(bed: Bed, restart: Restart, running: WeftDataplane): Promise<[number, WeftDataplane]> {
  const { lab } = bed;
  const stream = [process.execPath, `${DIST}bench/netns/stream.js`];
  const receiver = lab
    .node(2)
    .startInPod(lab.pod(2), [...stream, 'receive', `${PORT}`], { name: 'receiver' });
  await receiver.waitFor(/receiving/);
  const to = [`${PORT}`, lab.pod(2).address, `${RATE}`];
  const sender = lab.node(1).startInPod(lab.pod(1), [...stream, 'send', ...to], { name: 'sender' });
  await sender.waitFor(/sending/);
  await delay(SETTLE_MS);
  const next = await restart(running, bed);
  await delay(SETTLE_MS);
  const sent = await counted(sender);
  await delay(SETTLE_MS);
  return [sent - (await counted(receiver)), next];
}

export const restartFigure: Figure = {
  name: 'restart',
  metrics: [
    { key: 'sigkill', title: 'lost: kill -9 and start', unit: 'packets', better: 'less' },
    { key: 'sigterm', title: 'lost: SIGTERM and start', unit: 'packets', better: 'less' },
    { key: 'takeover', title: 'lost: --takeover', unit: 'packets', better: 'less' },
  ],
  without: ['kernel', 'ovs', 'naive', 'proxy'],
  async measure(bed) {
    return await withBoth(bed, async ([first]) => {
      let weft = first as WeftDataplane;
      const values: Record<string, number> = {};
      const restarts: [string, Restart][] = [
        ['sigkill', startAfter('SIGKILL')],
        ['sigterm', startAfter('SIGTERM')],
      ];
      // An older Weft has no such flag.
      if (/^weft(@|$)/.test(bed.peer.name)) restarts.push(['takeover', takeOver]);
      for (const [key, restart] of restarts) {
        const [count, next] = await lost(bed, restart, weft);
        values[key] = count;
        weft = next;
      }
      await weft.stop();
      return values;
    });
  },
};
