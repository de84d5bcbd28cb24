/** Both families at once, and IPv6 alone: each has a device, a tunnel and leases. */

import { readFileSync } from 'node:fs';
import t from 'tap';
import { startKernel } from '../../../lab/dataplanes/kernel.js';
import { succeeds } from '../../../lab/exec.js';
import { ping } from '../../../lab/traffic/ping.js';
import { until } from '../../../lab/until.js';
import { startWeft, withKernelVxlan } from '../support/bed.js';
import { runCommand } from '../support/cli.js';
import {
  base6,
  DEVICE6,
  dualConf,
  dualLease,
  MTU6,
  makeDualBed,
  pod6,
  settings6,
  startKernel6,
  state6,
  underlay6,
  vtepMac6,
  wanted6,
} from '../support/dual-bed.js';
import { answered } from '../support/pings.js';
import { doHarm, type Harm } from '../support/repair.js';
import { deviceOf, statusOf } from '../support/state.js';
import { stream } from '../support/transfer.js';

const MEGABYTE = 1 << 20;
/** ICMP and IP headers of a ping over IPv4 and over IPv6. */
const HEADERS = 28;
const HEADERS6 = 48;

t.test('two Weft nodes and a kernel peer with both families', await withKernelVxlan(), async (t) => {
  const lab = await makeDualBed(t, { name: 'dual', nodes: 3 });
  const [one, two, three] = [lab.node(1), lab.node(2), lab.node(3)];
  const leases = lab.nodes.map(dualLease);
  await startKernel(three);
  await startKernel6(three, [one, two]);
  const [weft] = await Promise.all(
    [one, two].map((node) => startWeft(t, node, { leases, netConf: dualConf() })),
  );

  await t.test('each family has a device with the MTU that its headers leave', async (t) => {
    t.match(await deviceOf(one), { mtu: 1450, mac: one.vtepMac, up: true });
    t.match(await deviceOf(one, DEVICE6), { kind: 'tun tap', mtu: 1430, mac: vtepMac6(one), up: true });
    t.strictSame(await state6(one), wanted6(one, [two, three]));
    t.strictSame(await settings6(one), ['0', '0'], 'accept_ra and disable_ipv6');
  });

  await t.test('subnet.env has both families and the smaller MTU', (t) => {
    t.equal(
      readFileSync(weft.subnetFile, 'utf8'),
      'FLANNEL_NETWORK=10.244.0.0/16\nFLANNEL_SUBNET=10.244.1.1/24\nFLANNEL_IPV6_NETWORK=fd00:244::/32\nFLANNEL_IPV6_SUBNET=fd00:244:1::1/64\nFLANNEL_MTU=1430\nFLANNEL_IPMASQ=false\n',
    );
    t.end();
  });

  await t.test('pods reach each other in both directions, with packets as large as the MTU', async (t) => {
    for (const [from, to] of [
      [1, 2],
      [2, 1],
      [1, 3],
      [3, 1],
    ] as const) {
      const [here, there] = [lab.pod(from), lab.pod(to)];
      const most = { dontFragment: true, count: 3 };
      await answered(t, here, there.address, `IPv4 ${from} to ${to}`, { ...most, size: MTU6 - HEADERS });
      await answered(t, here, pod6(there).address, `IPv6 ${from} to ${to}`, {
        ...most,
        size: MTU6 - HEADERS6,
      });
    }
    await answered(t, one, three.subnetBase, 'IPv4 keeps its longer packets', {
      dontFragment: true,
      size: 1450 - HEADERS,
    });
  });

  await t.test('TCP arrives unharmed', async (t) => {
    for (const [from, to] of [
      [lab.pod(1), lab.pod(2)],
      // The kernel's superpackets do not carry the pods' segment size, and the IPv4 device would accept larger
      // segments.
      [lab.pod(3), lab.pod(1)],
      [pod6(lab.pod(1)), pod6(lab.pod(2))],
      [pod6(lab.pod(1)), pod6(lab.pod(3))],
      [pod6(lab.pod(3)), pod6(lab.pod(1))],
    ] as const) {
      const { sent, received } = await stream(from, to, 4 * MEGABYTE);
      t.equal(received, sent, `${from.address} to ${to.address}`);
    }
  });

  await t.test('weft status reports both families', async (t) => {
    const status = await statusOf(weft);
    t.match(status.device, { name: 'flannel.1', address: '10.244.1.0/32', mtu: 1450 });
    t.match(status.ipv6, {
      device: { name: DEVICE6, address: `${base6(one)}/128`, mac: vtepMac6(one), mtu: MTU6, up: true },
      underlay: { interface: one.iface, publicIP: underlay6(one), mtu: 1500 },
      lease: { subnet: `${base6(one)}/64`, publicIP: underlay6(one), vtepMAC: vtepMac6(one) },
      peers: [two, three].map((node) => ({
        ...{ subnet: `${base6(node)}/64`, publicIP: underlay6(node), vtepMAC: vtepMac6(node) },
        ...{ neighbour: true, fdb: true, route: true },
      })),
    });
    const text = await weft.statusText();
    t.match(text, /flannel-v6\.1 up, fd00:244:1::\/128, .*MTU 1430/);
    t.match(text, /fd00:244:2::\/64 +fd00:77::2 +(-|\d+s) .* userspace/);
  });

  t.strictSame(await weft.end(), { code: 0, signal: null });
  t.ok(await succeeds(['ip', 'link', 'show', DEVICE6], { netns: one.netns }), 'a stop leaves the device');
});

const SETTINGS6 = `net/ipv6/conf/${DEVICE6}`;

/** Changes that another program makes on node 1. */
const HARMS: Harm[] = [
  {
    what: 'the device set down, which deletes its IPv6 address',
    commands: [`link set ${DEVICE6} down`],
    counted: { address: 1, link: 1, neighbour: 1, route: 1 },
  },
  {
    what: 'a deleted route',
    commands: ['route delete fd00:244:2::/64'],
    counted: { route: 1 },
  },
  {
    what: "a peer's route replaced by a foreign one",
    commands: ['route replace fd00:244:2::/64 via fd00:77::9'],
    counted: { route: 1 },
  },
  {
    what: "a foreign route to a peer's subnet with a better metric",
    commands: ['route add fd00:244:2::/64 via fd00:77::9 metric 5'],
    counted: { route: 1 },
  },
  {
    what: 'a changed neighbour MAC and an added address',
    commands: [
      `neighbour replace fd00:244:2:: lladdr 02:aa:aa:aa:aa:aa dev ${DEVICE6} nud permanent`,
      `address add fd00:244:99::1/64 dev ${DEVICE6} nodad`,
    ],
    counted: { address: 1, neighbour: 1 },
  },
  {
    what: 'an MTU too small for IPv6, which removes IPv6 from the device',
    commands: [`link set ${DEVICE6} mtu 1200`],
    counted: { mtu: 1, sysctl: 1, address: 1, neighbour: 1, route: 1 },
  },
  {
    what: 'IPv6 disabled on the device',
    settings: { [`${SETTINGS6}/disable_ipv6`]: 1 },
    counted: { sysctl: 1, address: 1, neighbour: 1, route: 1 },
  },
  {
    what: 'router advertisements accepted',
    settings: { [`${SETTINGS6}/accept_ra`]: 1 },
    counted: { sysctl: 1 },
  },
  { what: 'a deleted device', commands: [`link delete ${DEVICE6}`], counted: { device: 1 } },
];

t.test('Weft repairs every change to its IPv6 state and counts it under IPv6:', async (t) => {
  const lab = await makeDualBed(t, { name: 'repair6' });
  const [one, two] = [lab.node(1), lab.node(2)];
  const leases = lab.nodes.map(dualLease);
  const [weft] = await Promise.all(
    lab.nodes.map((node) => startWeft(t, node, { leases, netConf: dualConf() })),
  );
  const whole = async () => ({ state: await state6(one), settings: await settings6(one) });
  t.strictSame(
    await whole(),
    { state: wanted6(one, [two]), settings: ['0', '0'] },
    'the desired state; accept_ra and disable_ipv6',
  );
  for (const harm of HARMS) {
    await t.test(harm.what, async (t) => {
      await doHarm(t, weft, harm, whole, 'ipv6');
      await answered(t, lab.pod(1), pod6(lab.pod(2)).address);
    });
  }
  t.strictSame((await statusOf(weft)).repairs, {}, 'no repair is counted under IPv4');
});

t.test('Weft runs with IPv6 alone', async (t) => {
  const lab = await makeDualBed(t, { name: 'only6' });
  const one = lab.node(1);
  const leases = lab.nodes.map(({ index }) => ({
    ...{ Subnet: '0.0.0.0/0', PublicIP: '0.0.0.0' },
    IPv6Subnet: `fd00:244:${index}::/64`,
    PublicIPv6: `fd00:77::${index}`,
  }));
  const options = { leases, netConf: dualConf({ EnableIPv4: false }), flags: ['--ip-masq'] };
  const [weft] = await Promise.all(lab.nodes.map((node) => startWeft(t, node, options)));
  t.notOk(await succeeds(['ip', 'link', 'show', 'flannel.1'], { netns: one.netns }), 'no flannel.1');
  t.equal(
    readFileSync(weft.subnetFile, 'utf8'),
    'FLANNEL_IPV6_NETWORK=fd00:244::/32\nFLANNEL_IPV6_SUBNET=fd00:244:1::1/64\nFLANNEL_MTU=1430\nFLANNEL_IPMASQ=true\n',
  );
  const rules = async (save: string) => (await one.exec([save, '-t', 'nat'])).stdout;
  t.match(
    await rules('ip6tables-save'),
    /-A FLANNEL-POSTRTG -s fd00:244:1::\/64 -d fd00:244::\/32 .*-j RETURN/,
  );
  t.notMatch(await rules('iptables-save'), /FLANNEL/);
  const status = await statusOf(weft);
  t.match(status.device, { name: DEVICE6, address: 'fd00:244:1::/128' });
  t.notOk('ipv6' in status, 'status reports the only family at the top level');
  await answered(t, lab.pod(1), pod6(lab.pod(2)).address, 'IPv6', {
    size: MTU6 - HEADERS6,
    dontFragment: true,
  });
  const { sent, received } = await stream(pod6(lab.pod(2)), pod6(lab.pod(1)), 4 * MEGABYTE);
  t.equal(received, sent);
});

t.test('a peer may have one family only', async (t) => {
  const lab = await makeDualBed(t, { name: 'half', nodes: 3 });
  const [one, two, three] = lab.nodes.map(dualLease);
  const { Subnet: _, PublicIP: __, ...half } = three as NonNullable<typeof three>;
  const leases = [one, lab.node(2).lease(), half] as NonNullable<typeof one>[];
  const weft = await startWeft(t, lab.node(1), { leases, netConf: dualConf() });
  const { peers, ipv6 } = await statusOf(weft);
  t.strictSame(
    peers.map(({ subnet }) => subnet),
    [two.Subnet],
  );
  t.strictSame(
    ipv6?.peers.map(({ subnet }) => subnet),
    [three.IPv6Subnet],
  );
});

t.test('DirectRouting over IPv6 sets a plain route, and weft cleanup deletes it', async (t) => {
  const lab = await makeDualBed(t, { name: 'direct6' });
  const leases = lab.nodes.map(dualLease);
  const netConf = dualConf({}, { DirectRouting: true });
  const [weft] = await Promise.all(lab.nodes.map((node) => startWeft(t, node, { leases, netConf })));
  const one = lab.node(1);
  t.strictSame(await state6(one), [
    `fd00:244:2::/64 via fd00:77::2 dev ${one.iface}`,
    'inet6 fd00:244:1::/128',
    'mtu 1430',
  ]);
  // Neighbour discovery between the nodes may need a second solicitation.
  const there = pod6(lab.pod(2)).address;
  await until('a reply', async () => (await ping(lab.pod(1).netns, there, { count: 1 })).received === 1);
  await answered(t, lab.pod(1), there);
  await runCommand(one, ['cleanup', '--run-dir', weft.runDir]);
  const { stdout } = await one.exec(['ip', '-6', 'route', 'show', 'fd00:244:2::/64']);
  t.equal(stdout, '');
});
