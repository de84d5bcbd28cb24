/** Traffic between the pods of Weft nodes. */

import t from 'tap';
import { netConf, writeLeases } from '../../../lab/leases.js';
import { ping } from '../../../lab/traffic/ping.js';
import { atLevel, LEVELS, makeBed, startWeft, startWefts } from '../support/bed.js';
import { manyFlows } from '../support/exchange.js';
import { damageIn, refusedBy } from '../support/harm.js';
import { withIpv6 } from '../support/ipv6.js';
import { answered } from '../support/pings.js';
import { statusOf } from '../support/state.js';
import { stream } from '../support/transfer.js';

const MEGABYTE = 1 << 20;

t.test('three Weft nodes with two pods each and one lease file', async (t) => {
  const lab = await makeBed(t, { name: 'pods', nodes: 3, podsPerNode: 2, mode: 'plain' });
  const leaseFile = `${lab.dir}/leases.json`;
  await writeLeases(leaseFile, lab.leases());
  const wefts = await startWefts(t, lab.nodes, { leaseFile });
  const pods = lab.nodes.flatMap((node) => node.pods);

  await t.test('every pod reaches every other pod', async (t) => {
    for (const from of pods) {
      for (const to of pods) {
        if (from === to) continue;
        await answered(t, from, to.address, `${from.name} to ${to.name}`, { count: 2 });
      }
    }
  });

  await t.test('a packet as large as the pod MTU passes with DF, a larger one does not', async (t) => {
    const headers = 28;
    const largest = lab.node(1).podMtu - headers;
    await answered(t, lab.pod(1), lab.pod(2).address, `${largest} bytes of payload`, {
      size: largest,
      dontFragment: true,
    });
    const larger = await ping(lab.pod(1).netns, lab.pod(2).address, {
      count: 1,
      wait: 0.1,
      size: largest + 1,
      dontFragment: true,
    });
    t.equal(larger.received, 0, `${largest + 1} bytes of payload`);
  });

  await t.test('a packet larger than the pod MTU passes in fragments', async (t) => {
    await answered(t, lab.pod(1), lab.pod(2).address, '8000 bytes of payload', { size: 8000 });
  });

  await t.test('TCP arrives unharmed in both directions', async (t) => {
    for (const [from, to] of [
      [lab.pod(1), lab.pod(2)],
      [lab.pod(2, 2), lab.pod(1, 2)],
    ] as const) {
      const { sent, received } = await stream(from, to, 24 * MEGABYTE);
      t.equal(received, sent, `${from.name} to ${to.name}`);
    }
  });

  await t.test('tx_bytes of one node equals rx_bytes of the other', async (t) => {
    const [first, second] = await Promise.all(wefts.slice(0, 2).map((weft) => statusOf(weft)));
    await ping(lab.pod(1).netns, lab.pod(2).address, { count: 5, size: 1000 });
    const [firstAfter, secondAfter] = await Promise.all(wefts.slice(0, 2).map((weft) => statusOf(weft)));
    const there = firstAfter.counters.tx_bytes - first.counters.tx_bytes;
    const here = secondAfter.counters.rx_bytes - second.counters.rx_bytes;
    t.equal(there, here, 'node 1 sends as many bytes as node 2 receives');
    t.equal(there, 5 * (14 + 20 + 8 + 1000), 'frames, without the tunnel header');
  });
});

t.test(
  "a net-conf MTU above the underlay's causes a warning, and packets go in outer fragments",
  async (t) => {
    const lab = await makeBed(t, { name: 'toolarge' });
    const [weft] = await startWefts(t, lab.nodes, { netConf: netConf({ MTU: 2000 }) });
    t.match(weft.process.stderr, /^W.*\] .*Backend\.MTU 2000.*1500 of ua/m, 'the warning');
    await answered(t, lab.node(1), lab.node(2).subnetBase, 'packets that large pass in outer fragments', {
      size: 1950 - 28,
      dontFragment: true,
    });
  },
);

for (const level of LEVELS) {
  t.test(`two workers share the traffic of a node at offload level ${level}`, async (t) => {
    const lab = await makeBed(t, { name: `workers-${level}` });
    const weft = await startWeft(t, lab.node(1), atLevel(level, '--workers', '2'));
    await startWeft(t, lab.node(2), atLevel(level));
    t.equal((await statusOf(weft)).workers, 2);
    await manyFlows(t, lab.pod(1), lab.pod(2));
    t.strictSame(await refusedBy(weft), {}, 'every worker knows the own MAC, the peers and the FDB');
    t.strictSame(await damageIn(lab), {}, 'no network stack counts a broken packet');
    t.strictSame(await weft.end(), { code: 0, signal: null }, 'all of them end');
  });
}

t.test(
  'IPv6 between pods passes an IPv4 tunnel, with addresses, routes and neighbours set by hand',
  async (t) => {
    const lab = await makeBed(t, { name: 'pods6', ipv6: true });
    await startWefts(t, lab.nodes);
    const [here, there] = await withIpv6(lab);

    await t.test('pods reach each other, with packets as large as the MTU', async (t) => {
      const headers = 48;
      await answered(t, here, there.address, 'small');
      await answered(t, there, here.address, 'large', {
        size: lab.node(1).podMtu - headers,
        dontFragment: true,
      });
    });

    await t.test('TCP arrives unharmed', async (t) => {
      const { sent, received } = await stream(here, there, 8 * MEGABYTE);
      t.equal(received, sent);
    });
  },
);
