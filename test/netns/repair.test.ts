/** Whatever others do to what weft set up, under load: it is put right within two seconds, and counted. */

import t from 'tap';
import { exec } from '../../lab/exec.js';
import { ipBatch } from '../../lab/ip.js';
import { udpConf } from '../../lab/leases.js';
import type { LabNode } from '../../lab/node.js';
import { ping } from '../../lab/traffic/ping.js';
import { until } from '../../lab/until.js';
import { makeBed, startWeft, startWefts } from './support/bed.js';
import { startLoad } from './support/load.js';
import { answered } from './support/pings.js';
import { doHarm, type Harm } from './support/repair.js';
import { deviceOf, peerState, routesOf, stateFor, statusOf, udpPeers } from './support/state.js';
import { UDP_DEVICE } from './support/udp-bed.js';

const ACCEPT_RA = 'net/ipv6/conf/flannel.1/accept_ra';
const ACCEPT_LOCAL = `net/ipv4/conf/${UDP_DEVICE}/accept_local`;

const HARMS: Harm[] = [
  { what: 'the device is deleted', commands: ['link delete flannel.1'], counted: { device: 1 } },
  {
    what: 'the device is set down: its address stays, its route and neighbour go',
    commands: ['link set flannel.1 down'],
    counted: { link: 1, neighbour: 1, route: 1 },
  },
  { what: 'its routes are flushed', commands: ['route flush dev flannel.1'], counted: { route: 1 } },
  {
    what: 'a neighbour gets another MAC',
    commands: ['neighbour replace 10.244.2.0 lladdr 02:aa:aa:aa:aa:aa dev flannel.1 nud permanent'],
    counted: { neighbour: 1 },
  },
  {
    what: 'a neighbour is deleted',
    commands: ['neighbour delete 10.244.2.0 dev flannel.1'],
    counted: { neighbour: 1 },
  },
  {
    what: 'the device gets another MAC, as from systemd-udevd: the kernel flushes the neighbours',
    commands: ['link set flannel.1 address 02:bb:bb:bb:bb:bb'],
    counted: { mac: 1, neighbour: 1 },
  },
  { what: 'the device gets another MTU', commands: ['link set flannel.1 mtu 1300'], counted: { mtu: 1 } },
  {
    what: 'its address, the only one, is deleted: the kernel flushes neighbours and routes too',
    commands: ['address delete 10.244.1.0/32 dev flannel.1'],
    counted: { address: 1, neighbour: 1, route: 1 },
  },
  {
    what: "it gets a second address of the cluster's network",
    commands: ['address add 10.244.77.1/24 dev flannel.1'],
    counted: { address: 1 },
  },
  {
    what: "someone leads a peer's route elsewhere",
    commands: ['route replace 10.244.2.0/24 via 192.168.77.9'],
    counted: { route: 1 },
  },
  {
    what: "someone's own route to a peer's subnet comes before ours",
    commands: ['route prepend 10.244.2.0/24 via 192.168.77.9'],
    counted: { route: 1 },
  },
  {
    what: 'a foreign route and a foreign neighbour appear on the device',
    commands: [
      'route add 10.244.9.0/24 via 10.244.9.0 dev flannel.1 onlink',
      'neighbour add 10.244.9.0 lladdr 02:cc:cc:cc:cc:cc dev flannel.1 nud permanent',
    ],
    counted: { neighbour: 1, route: 1 },
  },
  {
    what: 'router advertisements are switched on, of which no monitor tells',
    settings: { [ACCEPT_RA]: 1 },
    counted: { sysctl: 1 },
  },
];

/** The same with backend udp. */
const UDP_HARMS: Harm[] = [
  { what: 'the device is deleted', commands: [`link delete ${UDP_DEVICE}`], counted: { device: 1 } },
  {
    what: 'the device is set down',
    commands: [`link set ${UDP_DEVICE} down`],
    counted: { link: 1, route: 1 },
  },
  { what: 'its route is flushed', commands: [`route flush dev ${UDP_DEVICE}`], counted: { route: 1 } },
  {
    what: 'someone leads the whole network elsewhere',
    commands: ['route replace 10.244.0.0/16 via 192.168.77.9'],
    counted: { route: 1 },
  },
  {
    what: 'another route of the same metric comes before it',
    commands: ['route prepend 10.244.0.0/16 via 192.168.77.9'],
    counted: { route: 1 },
  },
  { what: 'it gets another MTU', commands: [`link set ${UDP_DEVICE} mtu 1300`], counted: { mtu: 1 } },
  {
    what: "its address gives way to another of the cluster's",
    commands: [
      `address delete 10.244.1.0/32 dev ${UDP_DEVICE}`,
      `address add 10.244.77.1/24 dev ${UDP_DEVICE}`,
    ],
    counted: { address: 2, route: 1 },
  },
  {
    what: 'packets from its own address are martians again',
    settings: { [ACCEPT_LOCAL]: 0 },
    counted: { sysctl: 1 },
  },
];

async function settingsOf(node: LabNode, names: readonly string[]): Promise<string> {
  return (await node.exec(['cat', ...names.map((name) => `/proc/sys/${name}`)])).stdout;
}

t.test('what is broken is put right', async (t) => {
  const lab = await makeBed(t, { name: 'repair' });
  const [weft] = await startWefts(t, lab.nodes);
  const { node } = weft;
  const device = async () => {
    const { stdout } = await exec(['ip', '-4', '-o', 'address', 'show', 'dev', 'flannel.1'], {
      netns: node.netns,
    });
    const link = await exec(['ip', '-o', 'link', 'show', 'dev', 'flannel.1'], { netns: node.netns });
    return `${/(<.*?>) (mtu \d+)/.exec(link.stdout)?.slice(1)} ${/link\/ether \S+/.exec(link.stdout)?.[0]} ${stdout.match(/inet \S+/g)}`;
  };
  const whole = async () => ({
    device: await device(),
    settings: await settingsOf(node, [ACCEPT_RA]),
    peers: await peerState(node, weft),
  });
  const wanted = await whole();
  t.strictSame(wanted.peers, stateFor([lab.node(2).lease()]), 'as it should be');
  await startLoad(t, weft, lab.pod(1), lab.pod(2));

  for (const one of HARMS) {
    await t.test(one.what, async (t) => {
      const { counters } = await statusOf(weft);
      const pinging = ping(lab.pod(1).netns, lab.pod(2).address, { count: 60, interval: 0.01, wait: 1 });
      const elapsed = await doHarm(t, weft, one, whole);
      const { sent, received } = await pinging;
      t.comment(`put right after ${elapsed.toFixed(0)} ms, ${sent - received} of ${sent} pings lost`);
      const after = (await statusOf(weft)).counters;
      t.ok(after.tx_packets >= counters.tx_packets, 'counters go on from where they were');
      await answered(t, lab.pod(1), lab.pod(2).address);
    });
  }
});

t.test('what is broken of backend udp is put right', async (t) => {
  const lab = await makeBed(t, { name: 'repairudp' });
  const [weft] = await startWefts(t, lab.nodes, { netConf: udpConf() });
  const { node } = weft;
  const whole = async () => ({
    device: await deviceOf(node, UDP_DEVICE),
    settings: await settingsOf(node, [ACCEPT_LOCAL]),
    routes: await routesOf(node, UDP_DEVICE),
    peers: await udpPeers(weft),
  });
  for (const one of UDP_HARMS) {
    await t.test(one.what, async (t) => {
      await doHarm(t, weft, one, whole);
      await answered(t, lab.pod(1), lab.pod(2).address);
    });
  }
});

t.test('the blackhole route is deleted: it is put back', async (t) => {
  const lab = await makeBed(t, { name: 'blackhole' });
  const weft = await startWeft(t, lab.node(1), { flags: ['--ip-blackhole-route'] });
  const { netns } = weft.node;
  // The bridge has a route to the subnet too.
  await ipBatch(netns, ['link delete cni0']);
  const shown = async () =>
    (await exec(['ip', 'route', 'show', 'type', 'blackhole'], { netns })).stdout.trim();
  await until('the route', async () => (await shown()) === 'blackhole 10.244.1.0/24');
  const before = (await statusOf(weft)).repairs.route ?? 0;
  await ipBatch(netns, ['route delete blackhole 10.244.1.0/24']);
  await until('a repair', async () => (await statusOf(weft)).repairs.route === before + 1);
  t.equal(await shown(), 'blackhole 10.244.1.0/24');
});

t.test('what is not ours stays', async (t) => {
  const lab = await makeBed(t, { name: 'foreign' });
  const weft = await startWeft(t, lab.node(1));
  const { netns } = weft.node;
  await ipBatch(netns, [
    'address add 172.30.0.1/24 dev flannel.1',
    'route add 172.31.0.0/16 via 192.168.77.2',
    'link set flannel.1 mtu 1300',
  ]);
  await until('a repair', async () => (await statusOf(weft)).repairs.mtu === 1);
  const { stdout } = await exec(
    ['sh', '-c', 'ip -4 -o address show dev flannel.1; ip route show 172.31.0.0/16'],
    { netns },
  );
  t.match(stdout, /172\.30\.0\.1\/24/);
  t.match(stdout, /172\.31\.0\.0\/16 via 192\.168\.77\.2/);
});

t.test("the underlay's address goes: weft says which, and ends", async (t) => {
  const lab = await makeBed(t, { name: 'gone' });
  const weft = await startWeft(t, lab.node(1));
  await ipBatch(weft.node.netns, [
    `address add 192.168.77.99/24 dev ${weft.node.iface}`,
    `address delete 192.168.77.1/24 dev ${weft.node.iface}`,
  ]);
  t.strictSame(await weft.process.exited, { code: 1, signal: null });
  t.match(weft.process.stderr, /192\.168\.77\.1 is no longer an address of this node/);
});

t.test("the underlay's address goes and comes again: weft goes on", async (t) => {
  const lab = await makeBed(t, { name: 'renewed' });
  const [weft] = await startWefts(t, lab.nodes);
  const { netns, iface } = weft.node;
  await ipBatch(netns, [
    `address delete 192.168.77.1/24 dev ${iface}`,
    `address add 192.168.77.1/24 dev ${iface}`,
    'link set flannel.1 mtu 1300',
  ]);
  await until('a look', async () => (await statusOf(weft)).repairs.mtu === 1);
  await answered(t, lab.pod(1), lab.pod(2).address);
});

t.test('a device of that name that someone else makes meanwhile is not taken', async (t) => {
  const lab = await makeBed(t, { name: 'usurped' });
  const weft = await startWeft(t, lab.node(1));
  await weft.process.freeze();
  await ipBatch(weft.node.netns, ['link delete flannel.1', 'link add flannel.1 type veth peer name other0']);
  weft.process.kill('SIGCONT');
  t.strictSame(await weft.process.exited, { code: 1, signal: null });
  t.match(weft.process.stderr, /flannel\.1 exists: it is a veth device/);
});
