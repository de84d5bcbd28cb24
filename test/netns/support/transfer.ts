/** Data from pod to pod by the programs of test/netns/peer, checked at the other end. */

import { exec } from '../../../lab/exec.js';
import type { Pod } from '../../../lab/node.js';
import { LabProcess } from '../../../lab/process.js';
import { DIST } from '../../../lab/world.js';

const PEER = `${DIST}test/netns/peer/`;

/** Runs a receiver, then a sender against it; returns the last line of each. */
async function through(
  script: string,
  [from, to]: readonly [Pod, Pod],
  port: number,
  receiverArgs: readonly number[],
  senderArgs: readonly number[],
): Promise<{ sent: string; received: string }> {
  const node = [process.execPath, `${PEER}${script}`];
  const receiver = new LabProcess([...node, 'receive', `${port}`, ...receiverArgs.map(String)], {
    netns: to.netns,
    name: `${script} in ${to.name}`,
  });
  try {
    await receiver.waitFor(/listening/);
    const { stdout } = await exec([...node, 'send', to.address, `${port}`, ...senderArgs.map(String)], {
      netns: from.netns,
    });
    await receiver.exited;
    return { sent: stdout.trim(), received: receiver.output.trim().split('\n').at(-1) ?? '' };
  } finally {
    await receiver.stop('SIGKILL');
  }
}

/** Sends bytes over one TCP connection; hash and number of bytes at either end. */
export function stream(from: Pod, to: Pod, bytes: number): Promise<{ sent: string; received: string }> {
  return through('stream.js', [from, to], 7001, [], [bytes]);
}

/** Sends numbered datagrams as UDP_SEGMENT superpackets; says how many arrived: `whole 100 damaged 0`. */
export async function segmentedDatagrams(from: Pod, to: Pod, count: number, size: number): Promise<string> {
  return (await through('datagrams.js', [from, to], 7002, [count, size], [count, size])).received;
}
