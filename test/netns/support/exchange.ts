/** Traffic of every kind between two pods, verified at the receiver. */

import type { Test } from 'tap';
import type { WeftDataplane } from '../../../lab/dataplanes/weft.js';
import type { Pod } from '../../../lab/node.js';
import { sendsGsoRuns } from './gso-runs.js';
import { answered } from './pings.js';
import { statusOf } from './state.js';
import { datagrams, segmentedDatagrams, stream } from './transfer.js';

const MEGABYTE = 1 << 20;

/** Tests the exchange over IPv4, with packets of up to `podMtu` bytes. */
export async function exchange(t: Test, here: Pod, there: Pod, podMtu: number): Promise<void> {
  const ways = [
    ['there', here, there],
    ['back', there, here],
  ] as const;

  await t.test('packets as large as the pod MTU pass with DF', async (t) => {
    for (const [way, from, to] of ways) {
      await answered(t, from, to.address, way, { size: podMtu - 28, dontFragment: true });
    }
  });

  await t.test('TCP arrives unharmed in both directions at once', async (t) => {
    const transfers = await Promise.all(ways.map(([, from, to]) => stream(from, to, 64 * MEGABYTE)));
    for (const { sent, received } of transfers) t.equal(received, sent);
  });

  await t.test('32 flows at once arrive whole and separate', async (t) => {
    const { sent, received } = await stream(here, there, 2 * MEGABYTE, 32);
    t.equal(sent.split(', ').length, 32);
    t.equal(received, sent);
  });

  for (const [way, from, to] of ways) {
    await t.test(`every UDP datagram arrives ${way}`, async (t) => {
      for (const size of [64, 1400]) {
        t.equal(await datagrams(from, to, 3000, size), 'whole 3000 damaged 0', `${size} bytes`);
      }
    });

    await t.test(`every datagram of UDP_SEGMENT superpackets arrives ${way}`, async (t) => {
      for (const size of [200, podMtu - 28]) {
        t.equal(await segmentedDatagrams(from, to, 4000, size), 'whole 4000 damaged 0', `${size} bytes`);
      }
    });
  }
}

/**
 * Asserts that at level gso one Weft sent GSO runs and the other joined packets, and that at level none neither did. Over
 * a link that refuses GSO runs (gso-runs.ts), Weft fell back instead.
 */
export async function superpacketsUsed(
  t: Test,
  level: string,
  sender: WeftDataplane,
  receiver: WeftDataplane,
): Promise<void> {
  const [sent, received] = [await statusOf(sender), await statusOf(receiver)];
  t.strictSame([sent.offload.rung, received.offload.rung], [level, level]);
  if (level === 'bpf') {
    const { fast_tx_packets: sentFast = 0 } = sent.counters;
    const { fast_rx_packets: receivedFast = 0, rx_packets = 0, rx_superpackets = 0 } = received.counters;
    t.ok(sentFast > 0, `${sender.node.name} sent ${sentFast} packets by the fast path`);
    // Superpackets of a virtual link take the threads (fast-path/superpackets.ts).
    t.ok(
      receivedFast > (rx_superpackets > 0 ? 0 : rx_packets / 2),
      `${receiver.node.name} received ${receivedFast} of ${rx_packets} by it`,
    );
    return;
  }
  const { tx_trains, offload_step_downs } = sent.counters;
  const { rx_coalesced } = received.counters;
  const runs = level === 'gso' && (await sendsGsoRuns(sender.node, receiver.node.address));
  t.equal(Number(tx_trains) > 0, runs, `${sender.node.name} sent ${tx_trains} GSO runs`);
  t.equal(Number(rx_coalesced) > 0, level === 'gso', `${receiver.node.name} joined ${rx_coalesced} packets`);
  t.equal(sent.offload.transmit.level, runs ? 'gso' : 'none');
  const fellBack = sent.offload.transmit.reason?.includes('EIO') ?? false;
  t.equal(Number(offload_step_downs) > 0, fellBack, `${sender.node.name} fell back only after a refusal`);
}

/** Sends 32 flows in each direction, to use several workers. */
export async function manyFlows(t: Test, here: Pod, there: Pod): Promise<void> {
  for (const [from, to] of [
    [here, there],
    [there, here],
  ] as const) {
    const { sent, received } = await stream(from, to, MEGABYTE, 32);
    t.equal(received, sent, `32 flows arrive unharmed, ${from.name} to ${to.name}`);
  }
}
