/**
 * Edits of the lease file while traffic flows are applied exactly and within a second; peers that do not change lose
 * no packet.
 *
 *     node 1 (Weft, watched) ── pings all the time ── node 2 (Weft)
 *            └── nodes 3 and 4 (kernel vxlan, set by hand): added, changed, swapped, removed
 */

import { readFile, writeFile } from 'node:fs/promises';
import t, { type Test } from 'tap';
import { startKernel } from '../../lab/dataplanes/kernel.js';
import type { WeftDataplane } from '../../lab/dataplanes/weft.js';
import { ipBatch } from '../../lab/ip.js';
import type { Lab } from '../../lab/lab.js';
import { madeUpLease, netConf, type VxlanLease, writeLeases } from '../../lab/leases.js';
import type { LabNode } from '../../lab/node.js';
import { until } from '../../lab/until.js';
import { makeBed, startWeft, startWefts, withKernelVxlan } from './support/bed.js';
import { answered, startFlood } from './support/pings.js';
import { routesOf, settled, stateFor, statusOf } from './support/state.js';
import { Stopwatch } from './support/stopwatch.js';

/** The time that Weft promises (docs/lease-file.md). */
const APPLIED_MS = 1000;

function withMac(lease: VxlanLease, mac: string): VxlanLease {
  return { ...lease, BackendData: { VNI: 1, VtepMAC: mac } };
}

/** Edits the lease file, waits for the desired state and asserts the time. */
async function edited(
  t: Test,
  lab: Lab,
  weft: WeftDataplane,
  peers: readonly VxlanLease[],
  write: (path: string, leases: readonly VxlanLease[]) => Promise<void> = writeLeases,
): Promise<void> {
  await write(weft.leaseFile, [lab.node(1).lease(), ...peers]);
  const stopwatch = new Stopwatch();
  t.strictSame(await settled(lab.node(1), weft, peers), stateFor(peers), 'exactly the state of the leases');
  stopwatch.stop(t, APPLIED_MS, 'applied');
}

t.test(
  'Weft applies added, changed and removed peers while traffic flows',
  await withKernelVxlan(),
  async (t) => {
    const lab = await makeBed(t, { name: 'leases', nodes: 4 });
    const [, two, three, four] = lab.leases();
    if (two === undefined || three === undefined || four === undefined)
      throw new Error('four nodes, four leases');
    const weft = await startWeft(t, lab.node(1), { leases: [lab.node(1).lease(), two] });
    await startWeft(t, lab.node(2));
    const kernel = [await startKernel(lab.node(3)), await startKernel(lab.node(4))];
    const answers = (t: Test, address: string) => answered(t, lab.node(1), address);
    // The kernel deletes every neighbour of a device whose MAC changes, even a permanent one.
    const remember = 'neigh replace 10.244.1.0 lladdr 02:00:00:00:00:01 dev flannel.1 nud permanent';
    const setMac = (node: LabNode, mac: string) =>
      ipBatch(node.netns, [`link set flannel.1 address ${mac}`, remember]);
    const flood = startFlood(t, lab.pod(1), lab.pod(2).address);

    await t.test('two peers are added by renaming a file over the old one', async (t) => {
      await edited(t, lab, weft, [two, three, four]);
      await answers(t, '10.244.3.0');
      await answers(t, '10.244.4.0');
    });

    const otherMac = withMac(three, '0a:00:00:00:00:33');
    await t.test("a peer's MAC changes by rewriting the file in place", async (t) => {
      await setMac(lab.node(3), '0a:00:00:00:00:33');
      await edited(t, lab, weft, [two, otherMac, four], async (path, leases) => {
        await writeFile(path, JSON.stringify({ leases }));
      });
      await answers(t, '10.244.3.0');
    });

    await t.test('a MAC moves from one peer to another', async (t) => {
      await setMac(lab.node(3), three.BackendData.VtepMAC);
      await setMac(lab.node(4), '0a:00:00:00:00:33');
      await edited(t, lab, weft, [two, three, withMac(four, '0a:00:00:00:00:33')]);
      await answers(t, '10.244.3.0');
      await answers(t, '10.244.4.0');
      await setMac(lab.node(4), four.BackendData.VtepMAC);
      await edited(t, lab, weft, [two, three, four]);
    });

    await t.test('a peer moves to another public IP', async (t) => {
      const node = lab.node(3);
      await kernel[0].stop();
      await ipBatch(node.netns, [
        `address add 192.168.77.33/24 dev ${node.iface}`,
        `link add flannel.1 address ${node.vtepMac} mtu ${node.podMtu} type vxlan id 1 dev ${node.iface} local 192.168.77.33 dstport 8472 nolearning`,
        'address add 10.244.3.0/32 dev flannel.1',
        'link set flannel.1 up',
        remember,
        'route replace 10.244.1.0/24 via 10.244.1.0 dev flannel.1 onlink',
      ]);
      await node.exec('bridge fdb replace 02:00:00:00:00:01 dev flannel.1 dst 192.168.77.1 self'.split(' '));
      await edited(t, lab, weft, [two, { ...three, PublicIP: '192.168.77.33' }, four]);
      await answers(t, '10.244.3.0');
    });

    const swapped = [
      { ...three, PublicIP: '192.168.77.33', Subnet: four.Subnet },
      { ...four, Subnet: three.Subnet },
    ];
    await t.test('two peers swap their subnets', async (t) => {
      for (const [node, old, fresh] of [
        [lab.node(3), '10.244.3.0/32', '10.244.4.0/32'],
        [lab.node(4), '10.244.4.0/32', '10.244.3.0/32'],
      ] as const) {
        // In this order, as a device loses its routes with its last address.
        await ipBatch(node.netns, [
          `address add ${fresh} dev flannel.1`,
          `address delete ${old} dev flannel.1`,
        ]);
      }
      await edited(t, lab, weft, [two, ...swapped]);
      await answers(t, '10.244.3.0');
      await answers(t, '10.244.4.0');
    });

    await t.test('two peers are removed', async (t) => {
      await edited(t, lab, weft, [two]);
    });

    await t.test('no packet to the unchanged peer is lost', async (t) => {
      const { answered: pings, missing } = await flood.end();
      t.ok(pings > 100, `${pings} pings answered`);
      t.strictSame(missing, []);
    });
  },
);

t.test('Weft follows changes of its own lease', async (t) => {
  const lab = await makeBed(t, { name: 'own' });
  const leaseFile = `${lab.dir}/leases.json`;
  await writeLeases(leaseFile, lab.leases());
  const [weft, peer] = await startWefts(t, lab.nodes, { leaseFile });
  const changed = withMac(lab.node(1).lease(), '0a:00:00:00:00:11');
  const theirs = lab.node(2).lease();

  await t.test('a new MAC is set on the device, and pods still reach each other', async (t) => {
    await writeLeases(leaseFile, [changed, theirs]);
    t.strictSame(await settled(lab.node(2), peer, [changed]), stateFor([changed]), 'the peer follows');
    await until('the device follows', async () => (await statusOf(weft)).device.mac === '0a:00:00:00:00:11');
    t.strictSame(
      await settled(lab.node(1), weft, [theirs]),
      stateFor([theirs]),
      'its own peers do not change',
    );
    await answered(t, lab.pod(1), lab.pod(2).address);
  });

  await t.test("a new subnet changes address, subnet.env and the peers' state", async (t) => {
    const moved = { ...changed, Subnet: '10.244.101.0/24' };
    await writeLeases(leaseFile, [moved, theirs]);
    t.strictSame(await settled(lab.node(2), peer, [moved]), stateFor([moved]), 'the peer follows');
    await until('subnet.env follows', async () =>
      /^FLANNEL_SUBNET=10\.244\.101\.1\/24$/m.test(await readFile(weft.subnetFile, 'utf8')),
    );
    t.strictSame(
      await settled(lab.node(1), weft, [theirs]),
      stateFor([theirs]),
      'its own peers do not change',
    );
    const { stdout } = await lab.node(1).exec('ip -4 -oneline address show dev flannel.1'.split(' '));
    t.strictSame(stdout.match(/inet \S+/g), ['inet 10.244.101.0/32'], 'the old address is removed');
    await answered(t, lab.node(2), '10.244.101.0', 'the peer reaches it');
  });
});

t.test('Weft applies and removes thousands of leases while traffic flows', async (t) => {
  const lab = await makeBed(t, { name: 'scale' });
  const conf = { ...netConf(), Network: '10.0.0.0/8' };
  const weft = await startWeft(t, lab.node(1), { netConf: conf });
  await startWeft(t, lab.node(2), { netConf: conf });
  const real = lab.node(2).lease();
  const many = Array.from({ length: 2000 }, (_, index) => madeUpLease(index));
  await answered(t, lab.pod(1), lab.pod(2).address);
  const flood = startFlood(t, lab.pod(1), lab.pod(2).address);
  const follow = async (peers: readonly VxlanLease[]) => {
    await writeLeases(weft.leaseFile, [lab.node(1).lease(), ...peers]);
    await until(`${peers.length} routes`, async () => (await routesOf(lab.node(1))).length === peers.length, {
      timeoutMs: 10_000,
      everyMs: 100,
    });
    t.strictSame(await settled(lab.node(1), weft, peers), stateFor(peers), `${peers.length} peers`);
  };
  await follow([real, ...many]);
  t.match(
    await weft.statusText(),
    /^peers \(2001\)$[^]*^ {2}\d+ peers without a problem \(--all lists them\)$/m,
    'status text stays short',
  );
  await follow([real, ...many.map((_, index) => madeUpLease(index, 1))]);
  await follow([real]);
  const { answered: pings, missing } = await flood.end();
  t.ok(pings > 100, `${pings} pings answered`);
  t.strictSame(missing, [], 'no ping is lost');
});
