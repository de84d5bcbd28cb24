/** Weft to Weft: what pods can do with each other. */

import t from 'tap';
import { ipBatch, sysctl } from '../../lab/ip.js';
import { netConf, writeLeases } from '../../lab/leases.js';
import type { LabNode, Pod } from '../../lab/node.js';
import { iperf } from '../../lab/traffic/iperf.js';
import { ping } from '../../lab/traffic/ping.js';
import { until } from '../../lab/until.js';
import { makeBed, startWeft, startWefts } from './support/bed.js';
import { answered } from './support/pings.js';
import { statusOf } from './support/state.js';
import { segmentedDatagrams, stream } from './support/transfer.js';

const MEGABYTE = 1 << 20;

t.test('three nodes with two pods each and one lease file', async (t) => {
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

  await t.test('a packet as large as the pod MTU passes with DF, a larger one is refused', async (t) => {
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

  await t.test('TCP arrives unharmed, either way', async (t) => {
    for (const [from, to] of [
      [lab.pod(1), lab.pod(2)],
      [lab.pod(2, 2), lab.pod(1, 2)],
    ] as const) {
      const { sent, received } = await stream(from, to, 24 * MEGABYTE);
      t.equal(received, sent, `${from.name} to ${to.name}`);
    }
  });

  await t.test('TCP runs both ways at once', async (t) => {
    const result = await iperf(lab.pod(2), lab.pod(3), { seconds: 1, bidirectional: true });
    t.ok(result.gbits > 0, `${result.gbits} Gbit/s there`);
    t.ok((result.gbitsBack ?? 0) > 0, `${result.gbitsBack} Gbit/s back`);
  });

  await t.test('small UDP datagrams arrive', async (t) => {
    const { sent, received } = await iperf(lab.pod(1), lab.pod(3), {
      seconds: 1,
      udpPayload: 64,
      bitrate: 64 * 8 * 250,
    });
    t.ok(received > 0 && received >= sent * 0.9, `${received} of ${sent}`);
  });

  await t.test('UDP datagrams that a pod hands over in superpackets arrive one by one', async (t) => {
    t.equal(await segmentedDatagrams(lab.pod(3), lab.pod(1), 120, 1200), 'whole 120 damaged 0');
  });

  await t.test('bytes are counted the same way out and in', async (t) => {
    const [first, second] = await Promise.all(wefts.slice(0, 2).map((weft) => statusOf(weft)));
    await ping(lab.pod(1).netns, lab.pod(2).address, { count: 5, size: 1000 });
    const [firstAfter, secondAfter] = await Promise.all(wefts.slice(0, 2).map((weft) => statusOf(weft)));
    const there = (firstAfter?.counters.tx_bytes ?? 0) - (first?.counters.tx_bytes ?? 0);
    const here = (secondAfter?.counters.rx_bytes ?? 0) - (second?.counters.rx_bytes ?? 0);
    t.equal(there, here, 'what node 1 sent is what node 2 received');
    t.equal(there, 5 * (14 + 20 + 8 + 1000), 'frames, without the tunnel header');
  });
});

t.test('an underlay with jumbo frames', async (t) => {
  const lab = await makeBed(t, { name: 'jumbo', mtu: 9000 });
  await startWefts(t, lab.nodes);
  const size = 8950 - 28;
  await answered(t, lab.pod(1), lab.pod(2).address, 'packets as large as the pod MTU pass', {
    size,
    dontFragment: true,
  });
  const transfer = await stream(lab.pod(1), lab.pod(2), 24 * MEGABYTE);
  t.equal(transfer.received, transfer.sent, 'TCP arrives unharmed');
});

t.test('a net-conf MTU above that of the underlay', async (t) => {
  const lab = await makeBed(t, { name: 'toolarge' });
  const [weft] = await startWefts(t, lab.nodes, { netConf: netConf({ MTU: 2000 }) });
  t.match(weft?.process.stderr, /^weft: warning: .*Backend\.MTU 2000.*1500 of ua/m, 'is warned of');
  await answered(t, lab.node(1), lab.node(2).subnetBase, 'and packets that large pass in outer fragments', {
    size: 1950 - 28,
    dontFragment: true,
  });
});

t.test('two workers on one node', async (t) => {
  const lab = await makeBed(t, { name: 'workers' });
  const weft = await startWeft(t, lab.node(1), { flags: ['--workers', '2'] });
  await startWeft(t, lab.node(2));
  t.equal((await statusOf(weft)).workers, 2);
  for (const [from, to] of [
    [lab.pod(1), lab.pod(2)],
    [lab.pod(2), lab.pod(1)],
  ] as const) {
    const { sent, received } = await stream(from, to, 8 * MEGABYTE);
    t.equal(received, sent, `TCP arrives unharmed, ${from.name} to ${to.name}`);
  }
  const parallel = await iperf(lab.pod(1), lab.pod(2), { seconds: 1, streams: 4, bidirectional: true });
  t.ok(parallel.gbits > 0 && (parallel.gbitsBack ?? 0) > 0, 'four streams each way');
  const { counters } = await statusOf(weft);
  t.equal(counters.rx_drop_not_our_mac, 0, 'every worker knows the own MAC');
  t.equal(counters.rx_drop_unknown_vtep, 0, 'every worker knows the peers');
  t.equal(counters.tx_drop_unknown_mac, 0, 'every worker has the FDB');
  t.strictSame(await weft.end(), { code: 0, signal: null }, 'and all of them end');
});

t.test('IPv6 between pods, its addresses, routes and neighbours given by hand', async (t) => {
  const lab = await makeBed(t, { name: 'pods6', ipv6: true });
  await startWefts(t, lab.nodes);
  const address = (node: LabNode) => `fd00:244:${node.index}::11`;
  for (const node of lab.nodes) {
    await sysctl(node.netns, { 'net/ipv6/conf/all/forwarding': 1 });
    const peer = lab.node(3 - node.index);
    await ipBatch(node.netns, [
      `address add fd00:244:${node.index}::/128 dev flannel.1 nodad`,
      `address add fd00:244:${node.index}::1/64 dev cni0 nodad`,
      `neigh replace fd00:244:${peer.index}:: lladdr ${peer.vtepMac} dev flannel.1 nud permanent`,
      `route replace fd00:244:${peer.index}::/64 via fd00:244:${peer.index}:: dev flannel.1 onlink`,
    ]);
    await ipBatch(lab.pod(node.index).netns, [
      `address add ${address(node)}/64 dev eth0 nodad`,
      `route add default via fd00:244:${node.index}::1`,
    ]);
  }
  // Until the bridge knows who listens to its multicast, neighbour discovery may take its second try.
  for (const node of lab.nodes) {
    await until(`${node.name} knows its pod`, async () => {
      const { received } = await ping(lab.pod(node.index).netns, `fd00:244:${node.index}::1`, {
        count: 1,
        wait: 0.5,
      });
      return received === 1;
    });
  }
  const [here, there] = lab.nodes.map((node): Pod => ({ ...lab.pod(node.index), address: address(node) }));
  if (here === undefined || there === undefined) throw new Error('a lab of two nodes has two');

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
});
