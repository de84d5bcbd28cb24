/** Successive answers of a running Weft with traffic that a test chooses. */

import { Traffic } from '../../src/cli/top/traffic.js';
import type { Status } from '../../src/control/node/status.js';
import { peerStatus, STATUS } from './status.js';

/** Bytes of each packet. */
const SIZE = 1400;

export interface Scenario {
  /** How many answers there are, one per second. */
  readonly answers: number;
  readonly peers: number;
  /** Packets per second to and from a peer; the packets of an answer continue the last one's. */
  tx(peer: number, second: number): number;
  rx(peer: number, second: number): number;
  /** Other fields of the peer with this number. */
  fields?(peer: number): object;
  /** Counters of dropped packets at a second. */
  drops?(second: number): Record<string, number>;
  readonly status?: Partial<Status>;
}

/** Returns the traffic after all answers; the last one arrived at (answers - 1) × 1000 ms. */
export function trafficOf(scenario: Scenario): Traffic {
  const { answers, peers, tx, rx, fields = () => ({}), drops = () => ({}), status } = scenario;
  const traffic = new Traffic();
  const sent = new Array<number>(peers).fill(0);
  const received = new Array<number>(peers).fill(0);
  const sum = (values: readonly number[]) => values.reduce((total, value) => total + value, 0);
  for (let second = 0; second < answers; second++) {
    for (let peer = 0; peer < peers; peer++) {
      sent[peer] += tx(peer, second);
      received[peer] += rx(peer, second);
    }
    const counters = {
      tx_packets: sum(sent),
      tx_bytes: sum(sent) * SIZE,
      rx_packets: sum(received),
      rx_bytes: sum(received) * SIZE,
      ...drops(second),
    };
    const states = sent.map((txPackets, peer) =>
      peerStatus(peer + 2, {
        txPackets,
        txBytes: txPackets * SIZE,
        rxPackets: received[peer],
        rxBytes: received[peer] * SIZE,
        ...fields(peer),
      }),
    );
    const uptimeSeconds = STATUS.uptimeSeconds + second;
    traffic.read({ ...STATUS, ...status, uptimeSeconds, peers: states, counters }, second * 1000);
  }
  return traffic;
}
