/** Weft and a hand-made VTEP that sends it the datagrams of a test. */

import type { Test } from 'tap';
import type { WeftDataplane, WeftOptions } from '../../../lab/dataplanes/weft.js';
import { ipBatch } from '../../../lab/ip.js';
import type { Lab } from '../../../lab/lab.js';
import { echoRequest, HandmadePeer, type SendOptions } from '../peer/handmade.js';
import { makeBed, startWeft } from './bed.js';
import { type Counters, deliveredBy, risen, statusOf } from './state.js';

export const OWN_MAC = '02:00:00:00:00:01';
export const PEER_MAC = '02:00:00:00:00:02';
export const LEASED_MAC = '02:00:00:00:00:03';
export const STRANGE_MAC = '0a:00:00:00:00:99';
/** A second address of the peer node, without a lease. */
export const UNKNOWN_SOURCE = { address: '192.168.77.22', port: 8472 };

export interface Bed {
  readonly lab: Lab;
  readonly weft: WeftDataplane;
  readonly peer: HandmadePeer;
}

/** Weft on node 1, a hand-made VTEP on node 2, a lease for a node 3 that does not exist. */
export async function makeDropBed(t: Test, name: string, options: WeftOptions = {}): Promise<Bed> {
  const lab = await makeBed(t, { name });
  await ipBatch(lab.node(2).netns, [`address add ${UNKNOWN_SOURCE.address}/24 dev ub`]);
  const leases = [
    ...lab.leases(),
    { Subnet: '10.244.3.0/24', PublicIP: '192.168.77.3', BackendData: { VNI: 1, VtepMAC: LEASED_MAC } },
  ];
  const peer = await HandmadePeer.start(lab.node(2), lab.node(1));
  return { lab, peer, weft: await startWeft(t, lab.node(1), { leases, ...options }) };
}

let sequence = 0;

/** Returns a valid echo request from the peer to the node's own tunnel address, changed in these fields. */
export function request(fields: Partial<Parameters<typeof echoRequest>[0]> = {}): Buffer {
  return echoRequest({
    sourceMac: PEER_MAC,
    destinationMac: OWN_MAC,
    from: '10.244.2.11',
    to: '10.244.1.0',
    sequence: ++sequence,
    ...fields,
  });
}

/** ECT(0), where the inner packet is Not-ECT: the tunnel accepts it, and the fast path leaves it to the threads. */
const SLOW: SendOptions = { tos: 2 };

/**
 * Sends a good echo request and waits for its reply, which shows that the threads have handled everything sent before.
 */
export async function mark({ peer }: Bed): Promise<void> {
  await peer.send(request(), SLOW);
  const wanted = sequence;
  await peer.waitForEcho(
    'the reply to a good request',
    (echo) => echo.type === 0 && echo.sequence === wanted,
  );
}

/**
 * Runs `act` and returns the counters that rose. Left out are bytes, GSO runs, joined packets, the share of the fast path, and
 * the good echo of `end`, which follows it.
 */
export async function counted(bed: Bed, act: () => Promise<void>, end = mark): Promise<Counters> {
  const before = (await statusOf(bed.weft)).counters;
  await act();
  await end(bed);
  const { tx_bytes, rx_bytes, tx_trains, rx_coalesced, ...after } = risen(
    before,
    (await statusOf(bed.weft)).counters,
  );
  const others = Object.fromEntries(Object.entries(after).filter(([name]) => !name.startsWith('fast_')));
  return risen({ tx_packets: 1, rx_packets: 1 }, { tx_packets: 0, rx_packets: 0, ...others });
}

/** Datagrams that Weft drops, each of them under `counter`. */
export interface DropCase {
  readonly what: string;
  readonly datagrams: readonly Buffer[];
  readonly counter: string;
  /** The source of the datagrams and their outer header; by default the peer's own. */
  readonly sent?: SendOptions;
}

/** Sends the datagrams of each case and asserts that `counter` counts them and nothing delivers or answers them. */
export async function assertDrops(
  t: Test,
  { lab, peer }: Bed,
  cases: readonly DropCase[],
  device: string,
  countedBy: (act: () => Promise<void>) => Promise<Counters>,
): Promise<void> {
  for (const { what, datagrams, counter, sent } of cases) {
    await t.test(what, async (t) => {
      const delivered = await deliveredBy(lab.node(1), device);
      const replies = peer.echoes().length;
      const changes = await countedBy(async () => {
        for (const datagram of datagrams) await peer.send(datagram, sent);
      });
      t.strictSame(changes, { [counter]: datagrams.length });
      t.equal((await deliveredBy(lab.node(1), device)) - delivered, 1, 'only the good request is delivered');
      t.equal(peer.echoes().length - replies, 1, 'only the good request is answered');
    });
  }
}
