/** GSO runs that the kernel refuses are sent again, datagram by datagram. */

import t from 'tap';
import { ipBatch } from '../../../lab/ip.js';
import { atLevel, makeBed, startWefts } from '../support/bed.js';
import { sendsGsoRuns } from '../support/gso-runs.js';
import { damageIn, refusedBy } from '../support/harm.js';
import { statusOf } from '../support/state.js';
import { segmentedDatagrams, stream } from '../support/transfer.js';

const MEGABYTE = 1 << 20;

t.test('a route whose MTU is less than the datagrams of a GSO run', async (t) => {
  const lab = await makeBed(t, { name: 'narrow', mode: 'plain' });
  const wefts = await startWefts(t, lab.nodes, atLevel('gso'));
  const counters = () => Promise.all(wefts.map(async (weft) => (await statusOf(weft)).counters));
  const runs = await sendsGsoRuns(lab.node(1), lab.node(2).address);
  await ipBatch(lab.node(1).netns, [`route replace 192.168.77.2/32 dev ${lab.node(1).iface} mtu 1300`]);

  await t.test('TCP arrives unharmed in both directions', async (t) => {
    for (const [from, to] of [
      [lab.pod(1), lab.pod(2)],
      [lab.pod(2), lab.pod(1)],
    ] as const) {
      const { sent, received } = await stream(from, to, 24 * MEGABYTE);
      t.equal(received, sent, `${from.name} to ${to.name}`);
    }
  });

  await t.test('superpackets of UDP_SEGMENT arrive as their datagrams', async (t) => {
    t.equal(await segmentedDatagrams(lab.pod(1), lab.pod(2), 1000, 1400), 'whole 1000 damaged 0');
  });

  await t.test('refused GSO runs are replayed, and Weft keeps its offload level', async (t) => {
    const [narrow, wide] = await counters();
    t.ok(Number(narrow.tx_trains_replayed) > 0, `${narrow.tx_trains_replayed} replayed`);
    if (runs) t.equal(wide.tx_trains_replayed, 0, "no replay where the route's MTU is the interface's");
    t.equal(narrow.offload_step_downs, runs ? 0 : 1);
    t.equal(wide.offload_step_downs, runs ? 0 : 1);
  });

  await t.test('datagrams that are small enough still travel in GSO runs', async (t) => {
    const [before] = await counters();
    t.equal(await segmentedDatagrams(lab.pod(1), lab.pod(2), 1000, 1000), 'whole 1000 damaged 0');
    const [after] = await counters();
    t.equal(Number(after.tx_trains) > Number(before.tx_trains), runs, `${after.tx_trains} GSO runs`);
    t.equal(after.tx_trains_replayed, before.tx_trains_replayed, 'none of them replayed');
  });

  await t.test('no packet is dropped or damaged', async (t) => {
    for (const weft of wefts) t.strictSame(await refusedBy(weft), {}, weft.node.name);
    t.strictSame(await damageIn(lab), {});
  });
});

t.test('--gso-trains=off sends every datagram alone, and the status names the reason', async (t) => {
  const lab = await makeBed(t, { name: 'singles' });
  const [sender, receiver] = await startWefts(t, lab.nodes, atLevel('gso', '--gso-trains=off'));
  const { sent, received } = await stream(lab.pod(1), lab.pod(2), MEGABYTE);
  t.equal(received, sent);
  const { offload, counters } = await statusOf(sender);
  t.equal(counters.tx_trains, 0);
  t.equal(offload.rung, 'gso');
  t.strictSame(offload.transmit, { level: 'none', reason: 'GSO runs are switched off' });
  t.strictSame(offload.receive, { level: 'gso', reason: null });
  t.ok(Number((await statusOf(receiver)).counters.rx_coalesced) > 0, 'received packets are still joined');
  t.notMatch(sender.process.output, /offload: /, 'the operator chose it');
});
