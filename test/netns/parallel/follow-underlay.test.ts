/** The underlay of a running node disappears, returns and changes. Weft follows it without a restart. */

import { readFileSync } from 'node:fs';
import t from 'tap';
import type { WeftDataplane } from '../../../lab/dataplanes/weft.js';
import { ipBatch } from '../../../lab/ip.js';
import { netConf, writeLeases } from '../../../lab/leases.js';
import type { Pod } from '../../../lab/node.js';
import { ping } from '../../../lab/traffic/ping.js';
import { until } from '../../../lab/until.js';
import { kubeNode } from '../../support/kube-nodes.js';
import { atLevel, LEVELS, makeBed, startWeft, startWefts } from '../support/bed.js';
import { isReady, readiness } from '../support/cluster.js';
import { openConnection } from '../support/connection.js';
import { dualConf, dualLease, makeDualBed, pod6, underlay6 } from '../support/dual-bed.js';
import { annotationsOf, makeCluster } from '../support/kube-cluster.js';
import { answered } from '../support/pings.js';
import { deviceOf, statusOf } from '../support/state.js';

const HEALTH = ['--healthz-port=8081'];

/** Waits until a Weft process reports that its underlay is absent, and why; or that it is present. */
async function absence(weft: { readonly runDir: string }, reason: RegExp | null): Promise<void> {
  await eventually(`the underlay is ${reason === null ? 'present' : 'absent'}`, async () => {
    const { absent } = (await statusOf(weft)).underlay;
    return reason === null ? absent === null : reason.test(absent ?? '');
  });
}

/** Polls with a limit for a busy machine. */
function eventually(what: string, probe: () => Promise<boolean> | boolean): Promise<boolean> {
  return until(what, probe, { timeoutMs: 20_000, everyMs: 50 });
}

/** Waits until a pod answers another one. */
async function reached(from: Pod, { address }: Pod): Promise<void> {
  await eventually(`${address} answers`, async () => {
    const { received } = await ping(from.netns, address, { count: 1, wait: 0.5 });
    return received === 1;
  });
}

function logged(weft: WeftDataplane, pattern: RegExp): number {
  return weft.process.output.split('\n').filter((line) => pattern.test(line)).length;
}

t.test('a node whose underlay disappears waits for it, and connections survive', async (t) => {
  const lab = await makeBed(t, { name: 'underlay', nodes: 3 });
  const [one, two] = [lab.node(1), lab.node(2)];
  const { netns, iface } = one;
  const [weft] = await startWefts(t, [one, two], { flags: HEALTH });
  const connection = await openConnection(t, lab.pod(1), lab.pod(2));
  const recreate = async (): Promise<void> => {
    const hub = `${lab.name}-underlay`;
    await ipBatch(netns, [
      `link add ${iface} type veth peer name renewed netns ${hub}`,
      `address add 192.168.77.1/24 dev ${iface}`,
      `link set ${iface} up`,
    ]);
    await ipBatch(hub, ['link set renewed master br0 up']);
  };
  const back = [`address add 192.168.77.1/24 dev ${iface}`];
  for (const [what, away, reason, restore] of [
    ['the address is deleted', [`address delete 192.168.77.1/24 dev ${iface}`], /no|find IPv4 address/, back],
    ['the interface is down', [`link set ${iface} down`], /is down/, [`link set ${iface} up`]],
    ['the interface is deleted', [`link delete ${iface}`], /no interface/, undefined],
  ] as const) {
    await t.test(what, async (t) => {
      const before = logged(weft, /waiting for the underlay/);
      await ipBatch(netns, away);
      await absence(weft, reason);
      t.match(await readiness(weft), /^503 .*/);
      t.match(await weft.statusText(), /NOT READY: .*\n[^]*underlay .*ABSENT$/m);
      t.equal(logged(weft, /waiting for the underlay/) - before, 1, 'it is logged once');
      if (restore === undefined) await recreate();
      else await ipBatch(netns, restore);
      await absence(weft, null);
      await reached(lab.pod(1), lab.pod(2));
      await connection.isAlive();
      t.equal(await readiness(weft), '200 flanneld is ready');
    });
  }
});

for (const level of LEVELS) {
  t.test(`a change of the MTU reaches device, subnet.env and weft status at level ${level}`, async (t) => {
    const lab = await makeBed(t, { name: 'mtuchange' });
    const [one, two] = [lab.node(1), lab.node(2)];
    const [weft] = await startWefts(t, lab.nodes, atLevel(level));
    for (const mtu of [1400, 9000]) {
      for (const { netns, iface } of lab.nodes) await ipBatch(netns, [`link set ${iface} mtu ${mtu}`]);
      for (const node of lab.nodes)
        await eventually('the device follows', async () => (await deviceOf(node)).mtu === mtu - 50);
      await eventually('subnet.env follows', () =>
        readFileSync(weft.subnetFile, 'utf8').includes(`FLANNEL_MTU=${mtu - 50}`),
      );
      t.match(await statusOf(weft), {
        underlay: { mtu },
        device: { mtu: mtu - 50 },
        repairs: { mtu: undefined },
      });
      t.equal(logged(weft, new RegExp(`MTU of .* to ${mtu}`)), 1, 'one log line');
      await answered(t, one, two.subnetBase, `${mtu}`, { size: mtu - 50 - 28, dontFragment: true });
    }
  });
}

t.test('a node with a lease file follows its address to the lease of the new one', async (t) => {
  const lab = await makeBed(t, { name: 'moved', nodes: 3 });
  const [one, two] = [lab.node(1), lab.node(2)];
  const [first, second] = (await startWefts(t, [one, two])) as [WeftDataplane, WeftDataplane];
  const moved = [{ ...one.lease(), PublicIP: '192.168.77.99' }, two.lease()];
  await ipBatch(one.netns, [
    `address delete 192.168.77.1/24 dev ${one.iface}`,
    `address add 192.168.77.99/24 dev ${one.iface}`,
  ]);
  await first.process.waitFor(/no lease for this node.*192\.168\.77\.99/);
  for (const { leaseFile } of [first, second]) await writeLeases(leaseFile, moved);
  await eventually(
    'the lease is the new one',
    async () => (await statusOf(first)).lease.publicIP === '192.168.77.99',
  );
  await eventually(
    'the peer has it',
    async () => (await statusOf(second)).peers[0]?.publicIP === '192.168.77.99',
  );
  await answered(t, lab.pod(1), lab.pod(2).address);
  await answered(t, lab.pod(2), lab.pod(1).address);
});

t.test('a node of a cluster publishes its new address, and connections survive', async (t) => {
  const lab = await makeBed(t, { name: 'republish', nodes: 3 });
  const cluster = await makeCluster(t, lab, netConf());
  for (const node of lab.nodes) cluster.api.put(kubeNode(node.name, [node.subnet]));
  const [first, second] = [await cluster.start(t, 1), await cluster.start(t, 2)];
  await Promise.all([isReady(first), isReady(second)]);
  await answered(t, lab.pod(1), lab.pod(2).address);
  const before = annotationsOf(cluster.api, 'node1');
  const connection = await openConnection(t, lab.pod(1), lab.pod(2));
  const { netns, iface } = lab.node(1);
  await ipBatch(netns, [
    `address delete 192.168.77.1/24 dev ${iface}`,
    `address add 192.168.77.99/24 dev ${iface}`,
  ]);
  await eventually(
    'the peer has the new address',
    async () => (await statusOf(second)).peers[0]?.publicIP === '192.168.77.99',
  );
  const after = annotationsOf(cluster.api, 'node1');
  t.equal(
    after['flannel.alpha.coreos.com/backend-data'],
    before['flannel.alpha.coreos.com/backend-data'],
    'the MAC stays',
  );
  await connection.isAlive();
  t.match((await statusOf(first)).underlay, { publicIP: '192.168.77.99', absent: null });
});

t.test('the families of a dual-stack node are absent on their own', async (t) => {
  const lab = await makeDualBed(t, { name: 'half' });
  const leases = lab.nodes.map(dualLease);
  const node = lab.node(1);
  const [weft] = await Promise.all(
    lab.nodes.map((each) => startWeft(t, each, { leases, netConf: dualConf(), flags: HEALTH })),
  );
  await ipBatch(node.netns, [`address delete ${underlay6(node)}/64 dev ${node.iface}`]);
  await eventually('IPv6 is absent', async () => (await statusOf(weft)).ipv6?.underlay.absent != null);
  t.equal((await statusOf(weft)).underlay.absent, null);
  t.match(await readiness(weft), /^503 .*IPv6/);
  await answered(t, lab.pod(1), lab.pod(2).address, 'IPv4 goes on');
  await ipBatch(node.netns, [`address add ${underlay6(node)}/64 dev ${node.iface}`]);
  await eventually('IPv6 is present', async () => (await statusOf(weft)).ipv6?.underlay.absent === null);
  await reached(lab.pod(1), pod6(lab.pod(2)));
});
