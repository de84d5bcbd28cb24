/** Under load Weft repairs every change that other programs make to its state, within two seconds, and counts it. */

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
const FORWARDING = 'net/ipv4/conf/flannel.1/forwarding';
const ACCEPT_LOCAL = `net/ipv4/conf/${UDP_DEVICE}/accept_local`;

const HARMS: Harm[] = [
  { what: 'a deleted device', commands: ['link delete flannel.1'], counted: { device: 1 } },
  {
    what: 'the device set down, which deletes route and neighbour',
    commands: ['link set flannel.1 down'],
    counted: { link: 1, neighbour: 1, route: 1 },
  },
  { what: 'flushed routes', commands: ['route flush dev flannel.1'], counted: { route: 1 } },
  {
    what: 'a neighbour with another MAC',
    commands: ['neighbour replace 10.244.2.0 lladdr 02:aa:aa:aa:aa:aa dev flannel.1 nud permanent'],
    counted: { neighbour: 1 },
  },
  {
    what: 'a deleted neighbour',
    commands: ['neighbour delete 10.244.2.0 dev flannel.1'],
    counted: { neighbour: 1 },
  },
  {
    what: 'another MAC on the device, as systemd-udevd sets it, which flushes the neighbours',
    commands: ['link set flannel.1 address 02:bb:bb:bb:bb:bb'],
    counted: { mac: 1, neighbour: 1 },
  },
  { what: 'another MTU on the device', commands: ['link set flannel.1 mtu 1300'], counted: { mtu: 1 } },
  {
    what: 'a deleted address, which flushes neighbours and routes too',
    commands: ['address delete 10.244.1.0/32 dev flannel.1'],
    counted: { address: 1, neighbour: 1, route: 1 },
  },
  {
    what: "a second address of the cluster's network on the device",
    commands: ['address add 10.244.77.1/24 dev flannel.1'],
    counted: { address: 1 },
  },
  {
    what: "a peer's route replaced by a foreign one",
    commands: ['route replace 10.244.2.0/24 via 192.168.77.9'],
    counted: { route: 1 },
  },
  {
    what: "a foreign route in front of a peer's route",
    commands: ['route prepend 10.244.2.0/24 via 192.168.77.9'],
    counted: { route: 1 },
  },
  {
    what: 'a foreign route and a foreign neighbour on the device',
    commands: [
      'route add 10.244.9.0/24 via 10.244.9.0 dev flannel.1 onlink',
      'neighbour add 10.244.9.0 lladdr 02:cc:cc:cc:cc:cc dev flannel.1 nud permanent',
    ],
    counted: { neighbour: 1, route: 1 },
  },
  {
    what: 'router advertisements accepted, which ip monitor does not report',
    settings: { [ACCEPT_RA]: 1 },
    counted: { sysctl: 1 },
  },
  {
    what: 'forwarding switched off on the device',
    settings: { [FORWARDING]: 0 },
    counted: { sysctl: 1 },
  },
  {
    what: 'the device enslaved to a bridge',
    commands: ['link add name br9 type bridge', 'link set dev flannel.1 master br9'],
    counted: { master: 1 },
  },
  {
    what: "the device's alias removed",
    commands: ['link set dev flannel.1 alias ""'],
    counted: { alias: 1 },
  },
  {
    what: 'the address of the LAN on the device',
    commands: ['address add 192.168.77.1/24 dev flannel.1'],
    counted: { address: 1 },
  },
  {
    what: 'address and routes of the LAN on the device, as dhcpcd adds them',
    commands: [
      'address add 192.168.77.1/24 dev flannel.1 noprefixroute',
      'route add 192.168.0.0/16 dev flannel.1 proto dhcp scope link src 192.168.77.1 metric 100',
      'route add default via 192.168.77.254 dev flannel.1 proto dhcp metric 100',
    ],
    counted: { address: 1, route: 2 },
  },
];

/** The same with backend udp. */
const UDP_HARMS: Harm[] = [
  { what: 'a deleted device', commands: [`link delete ${UDP_DEVICE}`], counted: { device: 1 } },
  {
    what: 'the device set down',
    commands: [`link set ${UDP_DEVICE} down`],
    counted: { link: 1, route: 1 },
  },
  { what: 'a flushed route', commands: [`route flush dev ${UDP_DEVICE}`], counted: { route: 1 } },
  {
    what: "a foreign route in place of the network's",
    commands: ['route replace 10.244.0.0/16 via 192.168.77.9'],
    counted: { route: 1 },
  },
  {
    what: "a foreign route of the same metric in front of the network's",
    commands: ['route prepend 10.244.0.0/16 via 192.168.77.9'],
    counted: { route: 1 },
  },
  { what: 'another MTU on the device', commands: [`link set ${UDP_DEVICE} mtu 1300`], counted: { mtu: 1 } },
  {
    what: "the device's address replaced by another of the cluster",
    commands: [
      `address delete 10.244.1.0/32 dev ${UDP_DEVICE}`,
      `address add 10.244.77.1/24 dev ${UDP_DEVICE}`,
    ],
    counted: { address: 2, route: 1 },
  },
  {
    what: "accept_local switched off, which makes the device's own address a martian",
    settings: { [ACCEPT_LOCAL]: 0 },
    counted: { sysctl: 1 },
  },
];

async function settingsOf(node: LabNode, names: readonly string[]): Promise<string> {
  return (await node.exec(['cat', ...names.map((name) => `/proc/sys/${name}`)])).stdout;
}

t.test('backend vxlan repairs', async (t) => {
  const lab = await makeBed(t, { name: 'repair' });
  const [weft] = await startWefts(t, lab.nodes);
  const { node } = weft;
  const device = async () => {
    const { stdout } = await exec(['ip', '-4', '-o', 'address', 'show', 'dev', 'flannel.1'], {
      netns: node.netns,
    });
    const link = await exec(['ip', '-o', 'link', 'show', 'dev', 'flannel.1'], { netns: node.netns });
    return `${/(<.*?>) (mtu \d+)/.exec(link.stdout)?.slice(1)} ${/master \S+|alias \S+/.exec(link.stdout)?.[0]} ${/link\/ether \S+/.exec(link.stdout)?.[0]} ${stdout.match(/inet \S+/g)}`;
  };
  const whole = async () => ({
    device: await device(),
    settings: await settingsOf(node, [ACCEPT_RA, FORWARDING]),
    peers: await peerState(node, weft),
  });
  const wanted = await whole();
  t.strictSame(wanted.peers, stateFor([lab.node(2).lease()]), 'the desired state');
  await startLoad(t, weft, lab.pod(1), lab.pod(2));

  for (const one of HARMS) {
    await t.test(one.what, async (t) => {
      const { counters } = await statusOf(weft);
      const pinging = ping(lab.pod(1).netns, lab.pod(2).address, { count: 60, interval: 0.01, wait: 1 });
      await doHarm(t, weft, one, whole);
      const { sent, received } = await pinging;
      t.comment(`${sent - received} of ${sent} pings lost`);
      const after = (await statusOf(weft)).counters;
      t.ok(after.tx_packets >= counters.tx_packets, 'the counters continue');
      await answered(t, lab.pod(1), lab.pod(2).address);
    });
  }
});

t.test('backend udp repairs', async (t) => {
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

t.test('Weft restores a deleted blackhole route', async (t) => {
  const lab = await makeBed(t, { name: 'blackhole' });
  const weft = await startWeft(t, lab.node(1), { flags: ['--ip-blackhole-route'] });
  const { netns } = weft.node;
  // Without the bridge, whose route covers the same subnet.
  await ipBatch(netns, ['link delete cni0']);
  const shown = async () =>
    (await exec(['ip', 'route', 'show', 'type', 'blackhole'], { netns })).stdout.trim();
  await until('the route', async () => (await shown()) === 'blackhole 10.244.1.0/24');
  const before = (await statusOf(weft)).repairs.route ?? 0;
  await ipBatch(netns, ['route delete blackhole 10.244.1.0/24']);
  await until('a repair', async () => (await statusOf(weft)).repairs.route === before + 1);
  t.equal(await shown(), 'blackhole 10.244.1.0/24');
});

t.test('Weft leaves foreign addresses and routes alone', async (t) => {
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

t.test('Weft keeps running when the underlay address is deleted and added again', async (t) => {
  const lab = await makeBed(t, { name: 'renewed' });
  const [weft] = await startWefts(t, lab.nodes);
  const { netns, iface } = weft.node;
  await ipBatch(netns, [
    `address delete 192.168.77.1/24 dev ${iface}`,
    `address add 192.168.77.1/24 dev ${iface}`,
    'link set flannel.1 mtu 1300',
  ]);
  await until('a check', async () => (await statusOf(weft)).repairs.mtu === 1);
  await answered(t, lab.pod(1), lab.pod(2).address);
});

t.test('Weft ends when a foreign device takes the name of its deleted device', async (t) => {
  const lab = await makeBed(t, { name: 'shadowed' });
  const weft = await startWeft(t, lab.node(1));
  await weft.process.freeze();
  await ipBatch(weft.node.netns, ['link delete flannel.1', 'link add flannel.1 type veth peer name other0']);
  weft.process.kill('SIGCONT');
  t.strictSame(await weft.process.exited, { code: 1, signal: null });
  t.match(weft.process.stderr, /flannel\.1 exists: it is a veth device/);
});
