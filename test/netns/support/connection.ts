/** A TCP connection from pod to pod that stays open while a test changes the network under it. */

import type { Test } from 'tap';
import type { Pod } from '../../../lab/node.js';
import { LabProcess } from '../../../lab/process.js';
import { until } from '../../../lab/until.js';
import { DIST } from '../../../lab/world.js';

const PROGRAM = `${DIST}test/netns/peer/echo.js`;
const PORT = '7003';
/** Time for the next retransmission of TCP, which doubles its pauses, and for a busy machine. */
const RESUMED_MS = 20_000;

export interface Connection {
  /** Waits until data that is sent from now on returns over the same connection. @throws if it does not */
  isAlive(): Promise<void>;
}

/** Opens a connection; the end of the test closes it. */
export async function openConnection(t: Test, from: Pod, to: Pod): Promise<Connection> {
  const run = (mode: string, pod: Pod): LabProcess => {
    const program = new LabProcess([process.execPath, PROGRAM, mode, to.address, PORT], { netns: pod.netns });
    t.teardown(() => program.stop('SIGKILL'));
    return program;
  };
  await run('receive', to).waitFor(/listening/);
  const sender = run('send', from);
  await sender.waitFor(/\n/);
  const returned = (): number => sender.stdout.split('\n').length;
  return {
    async isAlive() {
      const before = returned();
      await until('data returns', () => returned() > before + 1, { timeoutMs: RESUMED_MS, everyMs: 50 });
    },
  };
}
