/**
 * DirectRouting: a peer on the same network gets a plain route, any other peer the tunnel; changes leave no stale
 * route.
 */

import t, { type Test } from 'tap';
import { ipBatch } from '../../../lab/ip.js';
import { netConf, writeLeases } from '../../../lab/leases.js';
import type { LabNode } from '../../../lab/node.js';
import { until } from '../../../lab/until.js';
import { makeBed, startWeft, startWefts } from '../support/bed.js';
import { runCommand } from '../support/cli.js';
import { dualConf, dualLease, MTU6, makeDualBed, state6, underlay6, wanted6 } from '../support/dual-bed.js';
import { answered } from '../support/pings.js';
import { neighboursOf, statusOf } from '../support/state.js';
import { startCapture } from '../support/weft-capture.js';

const DIRECT = { netConf: netConf({ DirectRouting: true }) };

/** Returns the routes to other nodes' pods and the neighbours on the device. */
async function waysOf(node: LabNode): Promise<string[]> {
  const { stdout } = await node.exec(['ip', '-4', 'route', 'show', 'root', '10.244.0.0/16']);
  const routes = stdout
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line.includes(' via '));
  // Without the device there are no neighbours.
  return [...routes, ...(await neighboursOf(node).catch(() => []))];
}

async function becomes(node: LabNode, wanted: readonly string[]): Promise<string[]> {
  const text = wanted.join('\n');
  await until('the routes', async () => (await waysOf(node)).join('\n') === text).catch(() => undefined);
  return await waysOf(node);
}

const through = [
  '10.244.2.0/24 via 10.244.2.0 dev flannel.1 onlink',
  '10.244.2.0 lladdr 02:00:00:00:00:02 PERMANENT',
];
const past = (node: LabNode) => [`10.244.2.0/24 via 192.168.77.2 dev ${node.iface}`];

t.test('DirectRouting with peers on the same network', async (t) => {
  const lab = await makeBed(t, { name: 'direct' });
  const [weft] = await startWefts(t, lab.nodes, DIRECT);
  const { node } = weft;
  t.strictSame(await waysOf(node), past(node), 'a plain route, no neighbour');
  const before = await statusOf(weft);
  t.match(before.peers, [{ subnet: '10.244.2.0/24', direct: true, route: true, fdb: true, neighbour: true }]);
  await answered(t, lab.pod(1), lab.pod(2).address);
  const { counters } = await statusOf(weft);
  t.equal(counters.tx_packets, before.counters.tx_packets, 'no packet went through the tunnel');
  const capture = await startCapture(t, weft, '--peer', '192.168.77.2');
  t.match(
    capture.stderr,
    /192\.168\.77\.2: a direct route carries the packets past the tunnel, so the capture has none/,
  );
  await capture.stop('SIGINT');

  await t.test('a peer moves into the tunnel when a gateway comes between', async (t) => {
    await ipBatch(node.netns, ['route add 192.168.77.2/32 via 192.168.77.99']);
    t.strictSame(await becomes(node, through), through);
  });

  await t.test('a peer moves back to the plain route when the gateway disappears', async (t) => {
    await ipBatch(node.netns, ['route delete 192.168.77.2/32']);
    t.strictSame(await becomes(node, past(node)), past(node));
  });

  await t.test('a deleted direct route is restored', async (t) => {
    await ipBatch(node.netns, ['route delete 10.244.2.0/24']);
    t.strictSame(await becomes(node, past(node)), past(node));
  });

  await t.test('the route of a removed peer is deleted', async (t) => {
    await writeLeases(weft.leaseFile, [node.lease()]);
    t.strictSame(await becomes(node, []), []);
    await writeLeases(weft.leaseFile, [node.lease(), ...node.peers()]);
    t.strictSame(await becomes(node, past(node)), past(node));
  });

  await t.test('a stop leaves the direct routes, and weft cleanup deletes them', async (t) => {
    t.strictSame(await weft.end(), { code: 0, signal: null });
    t.strictSame(await waysOf(node), past(node));
    await runCommand(node, ['cleanup', '--run-dir', weft.runDir]);
    t.strictSame(await waysOf(node), []);
  });
});

t.test('DirectRouting with peers on the same network, over IPv6', async (t) => {
  const lab = await makeDualBed(t, { name: 'directdual' });
  const [node, peer] = [lab.node(1), lab.node(2)];
  const options = { leases: lab.nodes.map(dualLease), netConf: dualConf({}, { DirectRouting: true }) };
  const weft = await startWeft(t, node, options);
  const own = ['inet6 fd00:244:1::/128', `mtu ${MTU6}`];
  const direct = [`fd00:244:2::/64 via ${underlay6(peer)} dev ${node.iface}`, ...own];
  const becomes = async (t: Test, wanted: readonly string[]) => {
    const text = wanted.join();
    await until('the route', async () => (await state6(node)).join() === text).catch(() => undefined);
    t.strictSame(await state6(node), wanted);
  };
  await becomes(t, direct);

  await t.test('a peer moves into the tunnel when a gateway comes between', async (t) => {
    await ipBatch(node.netns, [`route add ${underlay6(peer)}/128 via fd00:77::99`]);
    await becomes(t, wanted6(node, [peer]));
  });

  await t.test('a peer moves back to the plain route when the gateway disappears', async (t) => {
    await ipBatch(node.netns, [`route delete ${underlay6(peer)}/128`]);
    await becomes(t, direct);
  });

  await t.test('the start after kill -9 deletes the route of a peer that has left', async (t) => {
    await weft.end('SIGKILL');
    await startWeft(t, node, { ...options, leases: [dualLease(node)] });
    await becomes(t, own);
  });
});

t.test('a start deletes direct routes of an earlier flanneld to nodes without a lease', async (t) => {
  const lab = await makeBed(t, { name: 'directstale' });
  const node = lab.node(1);
  const others = [
    '10.244.9.0/24 via 192.168.77.9 dev ua proto static',
    '10.244.10.0/25 via 192.168.77.9 dev ua',
    '10.245.9.0/24 via 192.168.77.9 dev ua',
  ];
  await ipBatch(node.netns, [
    ...others.map((route) => `route add ${route}`),
    'route add 10.244.2.0/24 via 192.168.77.9',
    'route add 10.244.11.0/24 via 192.168.77.9',
  ]);
  const weft = await startWeft(t, node, { netConf: netConf({ DirectRouting: false }) });
  t.match(weft.process.stderr, /removing the route to 10\.244\.11\.0\/24 via 192\.168\.77\.9: no node has/);
  const { stdout } = await node.exec(['ip', 'route', 'show', 'root', '10.244.0.0/15']);
  t.strictSame(
    stdout
      .split('\n')
      .map((line) => line.trim())
      .filter((line) => line.includes(' via ')),
    [through[0], others[0], others[1], others[2]],
    'routes of another form stay',
  );
});

t.test('direct routes that a killed Weft has left', async (t) => {
  const lab = await makeBed(t, { name: 'directkill' });
  const node = lab.node(1);
  const first = await startWeft(t, node, DIRECT);
  await first.end('SIGKILL');
  t.strictSame(await waysOf(node), past(node), 'the route exists');

  await t.test('the next start deletes the route of a node that has left the cluster', async (t) => {
    const second = await startWeft(t, node, { ...DIRECT, leases: [node.lease()] });
    t.strictSame(await becomes(node, []), []);
    await writeLeases(second.leaseFile, [node.lease(), ...node.peers()]);
    t.strictSame(await becomes(node, past(node)), past(node));
    await second.end('SIGKILL');
  });

  await t.test('weft cleanup deletes them', async (t) => {
    const { code } = await runCommand(node, ['cleanup', '--run-dir', first.runDir]);
    t.equal(code, 0);
    t.strictSame(await waysOf(node), []);
  });
});
