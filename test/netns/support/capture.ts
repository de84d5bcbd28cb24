/** Packets that arrive at a node's underlay interface or at a pod, by tcpdump. */

import type { LabNode, Pod } from '../../../lab/node.js';

/**
 * Runs `act` and returns the first `count` IP packets that then arrive at the node, or at one of its pods, and match
 * tcpdump's filter.
 */
export async function captured(
  node: LabNode,
  filter: string,
  count: number,
  act: () => Promise<unknown>,
  pod?: Pod,
): Promise<Buffer[]> {
  const argv = [
    ...[
      'tcpdump',
      '-i',
      pod === undefined ? node.iface : 'eth0',
      '-c',
      `${count}`,
      '-n',
      '-l',
      '-xx',
      '-Q',
      'in',
      '-s',
      '0',
    ],
    filter,
  ];
  const capture = pod === undefined ? node.start(argv) : node.startInPod(pod, argv);
  await capture.waitFor(/listening on/);
  await act();
  await capture.waitFor(/packets? captured/);
  await capture.exited;
  // A description of each packet precedes the lines of its bytes, Ethernet header first.
  const dumps = capture.stdout.match(/(^\s+0x[0-9a-f]+:.*\n)+/gm) ?? [];
  return dumps.map((dump) => {
    const hex = dump.replaceAll(/^\s+0x[0-9a-f]+:|\s/gm, '');
    return Buffer.from(hex, 'hex').subarray(14);
  });
}
