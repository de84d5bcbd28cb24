import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { until } from '../../../../lab/until.js';
import { parseIp } from '../../../../src/control/addresses/ip.js';
import { vxlanBackend } from '../../../../src/control/backends/vxlan/backend.js';
import type { VxlanConf } from '../../../../src/control/config/net-conf.js';
import { Journal, readJournal } from '../../../../src/control/journal.js';
import type { Link } from '../../../../src/control/kernel/links.js';
import type { KernelEvent } from '../../../../src/control/kernel/monitor.js';
import type { Lease, LeaseSet } from '../../../../src/control/leases/lease.js';
import { FamilyTunnel } from '../../../../src/control/node/family-tunnel.js';
import type { FamilyPlan } from '../../../../src/control/plan.js';
import { UserError } from '../../../../src/control/support/user-error.js';
import { ThreadFailure } from '../../../../src/dataplane/dataplane.js';
import { SystemError } from '../../../../src/sys/system-error.js';
import { catchLog } from '../../../support/catch-log.js';
import { VXLAN } from '../../../support/conf.js';
import { FakeDataplane } from '../../../support/fake-dataplane.js';
import { FakeIp } from '../../../support/fake-ip.js';
import { leaseOf, nodeLease } from '../../../support/leases.js';
import { mentions, refusal } from '../../../support/user-error.js';

/** A name that no device has, so that the tests touch nothing under /proc or /sys. */
const DEVICE = 'weft-no-dev0';
const INDEX = 7;
/** asm-generic/errno.h */
const EADDRINUSE = 98;
const UNDERLAY: Link = {
  index: 3,
  name: 'eth0',
  mac: '02:00:00:00:77:01',
  mtu: 1500,
  kind: undefined,
  data: {},
  ethernet: true,
  up: true,
  carrier: true,
  alias: undefined,
  master: undefined,
  usable: { ipv4: [0xc0a84d01], ipv6: [] },
  tentative: [],
  assigned: [{ address: 0xc0a84d01, prefixLength: 24 }],
};

interface Rig {
  ip: FakeIp;
  tunnel: FamilyTunnel;
  /** Every dataplane that was opened; the last one is in use. */
  dataplanes: FakeDataplane[];
  failures: Error[];
  log: string[];
  runDir: string;
  /** Opening the next dataplanes fails with these errors. */
  refusals: Error[];
  /** Called one by one when a dataplane is opened. */
  onOpen: (() => void)[];
  /** Called at each request to a dataplane. */
  onRequest: (() => void)[];
}

interface RigOptions {
  peers?: Lease[];
  blackhole?: boolean;
  conf?: Partial<VxlanConf>;
}

/** The tunnel of node 1, over fake dataplanes that record their requests between the commands. */
function rig(t: Test, { peers = [], blackhole = false, conf = {} }: RigOptions = {}): Rig {
  const log = catchLog(t);
  const ip = FakeIp.install(t);
  const runDir = t.testdir({});
  const dataplanes: FakeDataplane[] = [];
  const refusals: Error[] = [];
  const onOpen: (() => void)[] = [];
  const onRequest: (() => void)[] = [];
  const note = (line: string): void => {
    ip.note(line);
    for (const call of onRequest) call();
  };
  const failures: Error[] = [];
  const plan: FamilyPlan = {
    family: 'ipv4',
    backend: { ...vxlanBackend({ ...VXLAN, ...conf }, 'ipv4'), device: DEVICE, sysctls: [] },
    network: { base: 0x0af40000, prefixLength: 16 },
    link: UNDERLAY,
    address: { address: 0xc0a84d01, addresses: [0xc0a84d01], publicIp: 0xc0a84d01 },
    local: [0xc0a84d01],
    adopted: undefined,
    origin: 'create',
    mtu: 1450,
    podMtu: 1450,
    peerCheck: 'strict',
  };
  deviceIs(ip, { mac: '02:00:00:00:00:01' });
  const tunnel = new FamilyTunnel(
    plan,
    { own: nodeLease(1), peers },
    {
      openDataplane: () => {
        const refused = refusals.shift();
        if (refused !== undefined) throw refused;
        ip.note('open');
        onOpen.shift()?.();
        dataplanes.push(new FakeDataplane(note));
        return (dataplanes.at(-1) as FakeDataplane).asDataplane;
      },
      journal: new Journal(runDir, '/run/flannel/subnet.env'),
      fastPathObstacle: () => 'tests have no fast path',
      fastPathOff: true,
      blackhole,
      onFailure: (error) => failures.push(error),
    },
  );
  t.teardown(() => tunnel.stop());
  return { ip, tunnel, dataplanes, failures, log, runDir, refusals, onOpen, onRequest };
}

/** Sets what `ip` reports about the overlay device; `undefined` removes the device. */
function deviceIs(ip: FakeIp, device: { mac?: string; index?: number; name?: string } | undefined): void {
  const underlay = { ifindex: 3, ifname: 'eth0', address: UNDERLAY.mac, mtu: 1500, flags: ['UP'] };
  const addresses = [{ family: 'inet', local: '192.168.77.1', prefixlen: 24 }];
  const overlay = device && {
    ifindex: device.index ?? INDEX,
    ifname: device.name ?? DEVICE,
    ifalias: 'weft',
    address: device.mac ?? '02:00:00:00:00:01',
    mtu: 1450,
    flags: ['UP'],
    linkinfo: { info_kind: 'tun' },
  };
  const own = [{ family: 'inet', local: '10.244.1.0', prefixlen: 32 }];
  const links = [underlay, ...(overlay ? [overlay] : [])];
  const withAddresses = [
    { ...underlay, addr_info: addresses },
    ...(overlay ? [{ ...overlay, addr_info: own }] : []),
  ];
  ip.answer('-details address show', withAddresses);
  ip.answer('-4 link show', links);
  ip.answer('-4 address show', withAddresses);
}

/** A tunnel that is up, its set-up commands forgotten. */
async function upRig(t: Test, options: RigOptions = {}): Promise<Rig> {
  const started = rig(t, options);
  await started.tunnel.startForwarding();
  await started.tunnel.setUp();
  await started.tunnel.setUpPeers();
  started.ip.taken();
  return started;
}

/** The lease of node 1 with another subnet. */
const MOVED = leaseOf('10.244.9.0/24', '192.168.77.1', '02:00:00:00:00:01');

/** What a lease source reports for node 1. */
function set(...peers: Lease[]): LeaseSet {
  return { own: nodeLease(1), peers };
}

const peer = (i: number): string[] => [
  `neighbour replace 10.244.${i}.0 lladdr 02:00:00:00:00:0${i} dev ${DEVICE} nud permanent`,
  `fdb set 02:00:00:00:00:0${i} 192.168.77.${i}`,
  `route replace 10.244.${i}.0/24 via 10.244.${i}.0 dev ${DEVICE} onlink`,
];

const DEVICE_SET_UP = [
  'own mac 02:00:00:00:00:01',
  `link set dev ${DEVICE} address 02:00:00:00:00:01 mtu 1450 txqueuelen 2000 alias weft`,
  `address replace 10.244.1.0/32 dev ${DEVICE}`,
  `link set dev ${DEVICE} up`,
];

t.test('a start sets the MAC in the dataplane, then sets up the device, then the peers', async (t) => {
  const { ip, tunnel, onRequest } = rig(t, { peers: [nodeLease(2)] });
  await tunnel.startForwarding();
  await tunnel.setUp();
  t.same(ip.taken(), ['open', ...DEVICE_SET_UP]);
  let during = false;
  onRequest.push(() => {
    during = tunnel.peers.isApplying;
  });
  await tunnel.setUpPeers();
  t.same(ip.taken(), peer(2));
  t.same([during, tunnel.peers.isApplying], [true, false], 'isApplying');
});

t.test(
  'setUp restores a MAC that another program changed on the new device and logs a warning',
  async (t) => {
    const { ip, tunnel, log } = rig(t);
    deviceIs(ip, { mac: 'aa:aa:aa:aa:aa:aa' });
    await tunnel.setUp();
    t.equal(ip.taken().at(-1), `link set dev ${DEVICE} address 02:00:00:00:00:01`);
    mentions(t, log.join('\n'), 'mac address wanted: 02:00:00:00:00:01, but got: aa:aa:aa:aa:aa:aa');
  },
);

t.test('setUp rejects with the command that the device refuses', async (t) => {
  const { ip, tunnel } = rig(t);
  ip.fail(`link set dev ${DEVICE} up`, 'Operation not permitted');
  const message = await refusal(t, () => tunnel.setUp());
  t.equal(message, `ip link set dev ${DEVICE} up: RTNETLINK answers: Operation not permitted`);
});

t.test('setUp records the device and its index in the journal', async (t) => {
  const { tunnel, runDir } = rig(t);
  await tunnel.setUp();
  const { devices } = JSON.parse(readFileSync(join(runDir, 'state.json'), 'utf8'));
  t.same(devices, [{ name: DEVICE, index: INDEX }]);
});

t.test('update applies only the difference', async (t) => {
  const { ip, tunnel } = await upRig(t, { peers: [nodeLease(2)] });
  await tunnel.update(set(nodeLease(3), nodeLease(2)));
  t.same(ip.taken(), peer(3));
});

t.test('updates run one after another, in order', async (t) => {
  const { ip, tunnel } = await upRig(t);
  await Promise.all([tunnel.update(set(nodeLease(2))), tunnel.update(set())]);
  t.same(ip.taken(), [
    ...peer(2),
    `route delete 10.244.2.0/24 via 10.244.2.0 dev ${DEVICE}`,
    'fdb delete 02:00:00:00:00:02',
    `neighbour delete 10.244.2.0 dev ${DEVICE}`,
  ]);
});

t.test(
  'update with a new MAC of this node changes device and dataplane and sets all neighbours again',
  async (t) => {
    const { ip, tunnel } = await upRig(t, { peers: [nodeLease(2), nodeLease(3)] });
    await tunnel.update({
      own: leaseOf('10.244.1.0/24', '192.168.77.1', '02:00:00:00:00:11'),
      peers: [nodeLease(2), nodeLease(3)],
    });
    t.same(ip.taken(), [
      `link set dev ${DEVICE} address 02:00:00:00:00:11`,
      'own mac 02:00:00:00:00:11',
      peer(2)[0],
      peer(3)[0],
    ]);
  },
);

t.test('update with a new subnet of this node changes the device address', async (t) => {
  const { ip, tunnel } = await upRig(t);
  await tunnel.update({ own: MOVED, peers: [] });
  t.same(ip.taken(), [
    `address replace 10.244.9.0/32 dev ${DEVICE}`,
    `address delete 10.244.1.0/32 dev ${DEVICE}`,
    'own mac 02:00:00:00:00:01',
  ]);
});

t.test('a failed change is retried after a pause', async (t) => {
  const { ip, tunnel, log } = await upRig(t);
  const route = peer(2)[2] as string;
  ip.fail(route, 'Network is down');
  await tunnel.update(set(nodeLease(2)));
  mentions(t, log.join('\n'), 'a change failed; retrying in 1 s');
  ip.taken();
  ip.succeed(route);
  t.same(await until('the retry', () => nonEmpty(ip.taken())), [route]);
});

t.test('check repairs drift of the device and counts it by kind', async (t) => {
  const { ip, tunnel, log } = await upRig(t);
  deviceIs(ip, { mac: 'aa:aa:aa:aa:aa:aa' });
  await tunnel.check();
  t.same(ip.taken(), [`link set dev ${DEVICE} address 02:00:00:00:00:01`]);
  t.same(tunnel.repairs, { mac: 1 });
  t.equal(log.at(-1), `W drift repaired on ${DEVICE}: 1 x mac`);
});

t.test('check reads the kernel with one process', async (t) => {
  const { ip, tunnel } = await upRig(t);
  const { reads, starts } = ip;
  await tunnel.check();
  t.equal(ip.reads, reads + 1);
  t.equal(ip.starts, starts);
});

t.test('check adds a missing blackhole route, records it and counts it', async (t) => {
  const { ip, tunnel, runDir } = await upRig(t, { blackhole: true });
  t.same((await readJournal(runDir))?.routes, ['blackhole 10.244.1.0/24']);
  await tunnel.check();
  t.same(ip.taken(), ['route add blackhole 10.244.1.0/24']);
  t.same(tunnel.repairs, { route: 1 });
  ip.answer('-4 route show', [{ type: 'blackhole', dst: '10.244.1.0/24', flags: [] }]);
  await tunnel.check();
  t.same(ip.taken(), []);
});

t.test('update adds no second blackhole route, and moves it with the subnet of this node', async (t) => {
  const { ip, tunnel, runDir } = await upRig(t, { blackhole: true });
  await tunnel.update(set(nodeLease(2)));
  t.same(ip.taken(), peer(2));
  await tunnel.update({ own: MOVED, peers: [nodeLease(2)] });
  t.same(ip.taken().slice(-2), ['route delete blackhole 10.244.1.0/24', 'route add blackhole 10.244.9.0/24']);
  t.same((await readJournal(runDir))?.routes, ['blackhole 10.244.9.0/24']);
});

t.test('the blackhole route to an earlier subnet is deleted although the device was lost', async (t) => {
  const { ip, tunnel, dataplanes } = await upRig(t, { blackhole: true });
  deviceIs(ip, undefined);
  dataplanes[0]?.loseDevice(DEVICE);
  await tunnel.update({ own: MOVED, peers: [] });
  deviceIs(ip, {});
  await until('the tunnel is up', () => tunnel.lifecycle.state.name === 'up');
  const routes = ip.taken().filter((command) => command.startsWith('route'));
  t.same(routes, ['route delete blackhole 10.244.1.0/24', 'route add blackhole 10.244.9.0/24']);
});

/** The plan of node 1 after its underlay changed. */
function moved(plan: FamilyPlan, change: Partial<FamilyPlan>): FamilyPlan {
  return { ...plan, ...change };
}

const NEW_ADDRESS = 0xc0a84d63;
const RENUMBERED: Partial<FamilyPlan> = {
  address: { address: NEW_ADDRESS, addresses: [NEW_ADDRESS], publicIp: NEW_ADDRESS },
  local: [NEW_ADDRESS],
};

t.test('followUnderlay binds the sockets to a new address and keeps the device', async (t) => {
  const { ip, tunnel, log } = await upRig(t, { peers: [nodeLease(2)] });
  await tunnel.followUnderlay(moved(tunnel.plan, RENUMBERED));
  t.same(ip.taken(), ['rebind 192.168.77.99']);
  mentions(t, log.join('\n'), 'moved from 192.168.77.1 to 192.168.77.99');
  await tunnel.followUnderlay(moved(tunnel.plan, { link: { ...UNDERLAY, index: 9 } }));
  t.same(ip.taken(), [], 'a replaced interface with the same address needs no new sockets');
});

t.test('followUnderlay changes the MTU of the device', async (t) => {
  const { ip, tunnel } = await upRig(t);
  await tunnel.followUnderlay(moved(tunnel.plan, { mtu: 1350 }));
  t.same(ip.taken(), [`link set dev ${DEVICE} mtu 1350`]);
});

t.test('an address that cannot be bound is tried again with the next check, and logged once', async (t) => {
  const { ip, tunnel, dataplanes, log } = await upRig(t);
  const [dataplane] = dataplanes as [FakeDataplane];
  dataplane.refusal = new SystemError('bind', -EADDRINUSE);
  await tunnel.followUnderlay(moved(tunnel.plan, RENUMBERED));
  await tunnel.check();
  t.equal(log.filter((line) => line.includes('taken by another process')).length, 1);
  dataplane.refusal = undefined;
  await tunnel.check();
  t.ok(ip.taken().includes('rebind 192.168.77.99'));
});

t.test('update with a new public IP of this node moves the sockets if the node has it', async (t) => {
  const { ip, tunnel } = await upRig(t);
  tunnel.plan = moved(tunnel.plan, { local: [0xc0a84d01, NEW_ADDRESS] });
  await tunnel.update({ own: { ...nodeLease(1), publicIp: NEW_ADDRESS }, peers: [] });
  t.same(
    ip.taken().filter((line) => line.startsWith('rebind')),
    ['rebind 192.168.77.99'],
  );
});

t.test('a lost device waits for an absent underlay, however long that takes', async (t) => {
  const { ip, tunnel, dataplanes, failures, onOpen } = await upRig(t);
  tunnel.underlayAbsent = 'eth0 is down';
  deviceIs(ip, undefined);
  dataplanes[0]?.loseDevice(DEVICE);
  await until('the rebuild fails', () => tunnel.lifecycle.notReady === 'eth0 is down');
  t.equal(dataplanes.length, 1);
  onOpen.push(() => deviceIs(ip, {}));
  tunnel.underlayAbsent = null;
  await until('the device is recreated', () => dataplanes.length === 2);
  await until('the tunnel is up', () => tunnel.lifecycle.state.name === 'up');
  t.same(failures, []);
});

t.test('a lost device is reopened with everything that is desired', async (t) => {
  const { ip, tunnel, dataplanes, log, onOpen } = await upRig(t, { peers: [nodeLease(2)] });
  const [first] = dataplanes;
  deviceIs(ip, undefined);
  onOpen.push(() => deviceIs(ip, { index: 8 }));
  first?.loseDevice(DEVICE);
  t.match(tunnel.lifecycle.state, { name: 'lost' });
  mentions(t, tunnel.lifecycle.notReady ?? '', `device ${DEVICE} cannot be read`);
  await until('the device is recreated', () => dataplanes.length === 2);
  t.equal(first?.stopped, true, 'its port is free in between');
  await until('the tunnel is up', () => tunnel.lifecycle.state.name === 'up');
  t.equal(tunnel.lifecycle.notReady, null);
  t.same(ip.taken(), ['open', ...DEVICE_SET_UP, ...peer(2)]);
  t.same(tunnel.repairs, { device: 1 });
  mentions(t, log.join('\n'), 'recreating the device');
});

t.test('update while the device is lost is part of the rebuild', async (t) => {
  const { ip, tunnel, dataplanes } = await upRig(t);
  deviceIs(ip, undefined);
  dataplanes[0]?.loseDevice(DEVICE);
  await tunnel.update(set(nodeLease(2)));
  ip.taken();
  deviceIs(ip, {});
  await until('the tunnel is up', () => tunnel.lifecycle.state.name === 'up');
  t.same(ip.taken().slice(-3), peer(2));
});

t.test('a device that disappears during the rebuild is rebuilt again', async (t) => {
  const { ip, tunnel, dataplanes } = await upRig(t);
  deviceIs(ip, undefined);
  dataplanes[0]?.loseDevice(DEVICE);
  // The second device never appears in the kernel: its set-up fails with DeviceGone.
  await until('two more devices are opened', () => dataplanes.length === 3);
  t.equal(dataplanes[1]?.stopped, true);
  deviceIs(ip, {});
  await until('the tunnel is up', () => tunnel.lifecycle.state.name === 'up');
  t.same(tunnel.repairs, { device: 1 });
});

t.test('a foreign device of the same name ends the run and stays', async (t) => {
  const { ip, dataplanes, failures } = await upRig(t);
  deviceIs(ip, { index: 9 });
  dataplanes[0]?.loseDevice(DEVICE);
  await until('the failure', () => failures.length > 0);
  mentions(t, failures[0]?.message ?? '', `${DEVICE} exists: it is a tun/tap device of another process`);
  t.equal(dataplanes.length, 1);
});

t.test('a rebuild that keeps failing ends the run with the last error', async (t) => {
  const { ip, dataplanes, failures, refusals } = await upRig(t);
  for (let i = 1; i <= 6; i++) refusals.push(new UserError(`UDP port 8472 is taken, ${i}`));
  deviceIs(ip, undefined);
  dataplanes[0]?.loseDevice(DEVICE);
  await until('the failure', () => failures.length > 0, { timeoutMs: 20_000 });
  t.equal(failures[0]?.message, 'UDP port 8472 is taken, 6');
});

t.test('a failure that an earlier dataplane reports late is ignored', async (t) => {
  const { tunnel, dataplanes } = await upRig(t);
  dataplanes[0]?.loseDevice(DEVICE);
  await until('the device is recreated', () => dataplanes.length === 2);
  await until('the tunnel is up', () => tunnel.lifecycle.state.name === 'up');
  dataplanes[0]?.loseDevice(DEVICE);
  t.match(tunnel.lifecycle.state, { name: 'up' });
});

t.test('a failed socket ends the run', async (t) => {
  const { dataplanes, failures, tunnel } = await upRig(t);
  dataplanes[0]?.loseSocket();
  mentions(t, failures[0]?.message ?? '', 'ENETDOWN', 'restart Weft');
  t.match(tunnel.lifecycle.state, { name: 'up' }, 'no rebuild');
});

t.test('a thread that fails again and again ends the run with one line', async (t) => {
  const { dataplanes, failures } = await upRig(t);
  dataplanes[0]?.fail(new ThreadFailure('forwarding thread 1 of flannel.1 failed'));
  t.same(failures, [new UserError('forwarding thread 1 of flannel.1 failed; restart Weft')]);
});

t.test('a thread that does not answer is why the tunnel is not ready', async (t) => {
  const { dataplanes, tunnel } = await upRig(t);
  t.equal(tunnel.notReady, null);
  (dataplanes[0] as FakeDataplane).silent = 'forwarding thread 1 of flannel.1 does not answer';
  t.equal(tunnel.notReady, 'forwarding thread 1 of flannel.1 does not answer');
});

t.test('counters never decrease across a rebuild', async (t) => {
  const { ip, tunnel, dataplanes, onOpen } = await upRig(t);
  (dataplanes[0] as FakeDataplane).tx = 41;
  t.same(tunnel.counters(), { tx_packets: 41 });
  deviceIs(ip, undefined);
  onOpen.push(() => deviceIs(ip, {}));
  dataplanes[0]?.loseDevice(DEVICE);
  t.same(tunnel.counters(), { tx_packets: 41 });
  await until('the device is recreated', () => dataplanes.length === 2);
  await until('the tunnel is up', () => tunnel.lifecycle.state.name === 'up');
  t.same(tunnel.counters(), { tx_packets: 41 });
  (dataplanes[1] as FakeDataplane).tx = 2;
  t.same(tunnel.counters(), { tx_packets: 43 });
});

t.test('affects matches links by index or exact name', async (t) => {
  const { tunnel } = await upRig(t);
  const link = (index: number, name: string): KernelEvent => ({ kind: 'link', index, name });
  t.equal(tunnel.affects(link(INDEX, 'renamed')), true);
  t.equal(tunnel.affects(link(99, DEVICE)), true);
  t.equal(tunnel.affects(link(99, `${DEVICE}0`)), false);
});

t.test('affects matches addresses by the index of their link', async (t) => {
  const { tunnel } = await upRig(t);
  const address = (index: number, text: string): KernelEvent => ({
    kind: 'address',
    index,
    address: parseIp(text) ?? 0,
  });
  t.equal(tunnel.affects(address(INDEX, '192.0.2.1')), true);
  t.equal(tunnel.affects(address(99, '192.0.2.1')), false);
});

t.test('affects matches neighbours by device, and routes by device or destination', async (t) => {
  const { tunnel } = await upRig(t, { peers: [nodeLease(2)] });
  const route = (destination: string, device?: string): KernelEvent => ({
    kind: 'route',
    destination,
    device,
  });
  t.equal(tunnel.affects({ kind: 'neighbour', device: DEVICE }), true);
  t.equal(tunnel.affects({ kind: 'neighbour', device: 'eth0' }), false);
  t.equal(tunnel.affects(route('10.244.9.0/24', DEVICE)), true);
  t.equal(tunnel.affects(route('10.244.2.0/24', 'eth0')), true);
  t.equal(tunnel.affects(route('10.244.1.0/24', 'cni0')), false);
  t.equal(tunnel.affects(route('default', 'eth0')), false);
  t.equal(tunnel.affects({ kind: 'rule' }), false);
});

t.test('affects matches any route and rule with DirectRouting', async (t) => {
  const { tunnel } = await upRig(t, { conf: { directRouting: true } });
  t.equal(tunnel.affects({ kind: 'route', destination: 'default', device: 'eth0' }), true);
  t.equal(tunnel.affects({ kind: 'rule' }), true);
  t.equal(tunnel.affects({ kind: 'neighbour', device: 'eth0' }), false);
});

t.test('affects matches a route to the own subnet where the blackhole route is on', async (t) => {
  const { tunnel } = await upRig(t, { blackhole: true });
  t.equal(tunnel.affects({ kind: 'route', destination: '10.244.1.0/24', device: undefined }), true);
  t.equal(tunnel.affects({ kind: 'route', destination: '0.244.1.0/24', device: undefined }), false);
});

t.test('stop ends all changes', async (t) => {
  const { ip, tunnel } = await upRig(t);
  await tunnel.stop();
  await tunnel.update(set(nodeLease(2)));
  t.same(ip.taken(), []);
  t.match(tunnel.lifecycle.state, { name: 'stopped' });
});

t.test('stop kills a running ip, even during setUpPeers, and reports no failure', async (t) => {
  const { ip, tunnel } = rig(t, { peers: [nodeLease(2)] });
  ip.hang('neighbour');
  await tunnel.setUp();
  const { starts } = ip;
  const starting = tunnel.setUpPeers();
  await until('ip hangs', () => ip.starts > starts);
  await tunnel.stop();
  await t.resolves(starting);
});

t.test('stop waits for the running change', async (t) => {
  const { ip, tunnel, dataplanes } = await upRig(t);
  let release = (): void => {};
  (dataplanes[0] as FakeDataplane).updateFdb = () =>
    new Promise<void>((resolve) => {
      release = resolve;
    });
  const update = tunnel.update(set(nodeLease(2)));
  await until('the change runs', () => ip.taken().length > 0);
  const stopped = tunnel.stop();
  t.equal(await Promise.race([stopped.then(() => 'stopped'), Promise.resolve('waiting')]), 'waiting');
  release();
  await stopped;
  await update;
});

t.test('stop ends a rebuild', async (t) => {
  const { ip, tunnel, dataplanes } = await upRig(t);
  deviceIs(ip, undefined);
  dataplanes[0]?.loseDevice(DEVICE);
  await tunnel.stop();
  t.equal(dataplanes.length, 1);
  t.match(tunnel.lifecycle.state, { name: 'stopped' });
});

t.test('few changed peers are logged one by one, many as one line', async (t) => {
  const { tunnel, log } = await upRig(t);
  await tunnel.update(set(nodeLease(2)));
  await tunnel.update(set());
  mentions(
    t,
    log.join('\n'),
    'adding subnet: 10.244.2.0/24 PublicIP: 192.168.77.2 VtepMAC: 02:00:00:00:00:02',
    'removing subnet: 10.244.2.0/24',
  );
  log.length = 0;
  await tunnel.update(set(...Array.from({ length: 20 }, (_, index) => nodeLease(index + 2))));
  t.same(
    log.filter((line) => line.includes('peers')),
    ['I peers: 20 added or changed, 0 removed, 20 in all'],
  );
});

function nonEmpty(lines: string[]): string[] | false {
  return lines.length > 0 && lines;
}
