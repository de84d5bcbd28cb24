import t, { type Test } from 'tap';
import type { Family } from '../../../../../src/control/addresses/family.js';
import { desiredState } from '../../../../../src/control/backends/vxlan/peer-state.js';
import { VxlanPeers } from '../../../../../src/control/backends/vxlan/peers.js';
import { Journal } from '../../../../../src/control/journal.js';
import type { KernelSnapshot, Route } from '../../../../../src/control/kernel/snapshot.js';
import type { Lease } from '../../../../../src/control/leases/lease.js';
import { catchLog } from '../../../../support/catch-log.js';
import { FakeDataplane } from '../../../../support/fake-dataplane.js';
import { FakeIp } from '../../../../support/fake-ip.js';
import { leaseOf, nodeLease } from '../../../../support/leases.js';
import { mentions } from '../../../../support/user-error.js';

interface Rig {
  ip: FakeIp;
  dataplane: FakeDataplane;
  peers: VxlanPeers;
  /** Applies the leases and returns what was done, in order, and how much failed. */
  apply(leases: readonly Lease[]): Promise<{ done: string[]; failed: number }>;
}

interface RigOptions {
  family?: Family;
  directRouting?: boolean;
  learning?: boolean;
}

const NETWORKS = {
  ipv4: { base: 0x0af40000, prefixLength: 16 },
  ipv6: { base: 0xfd00_0244n << 96n, prefixLength: 48 },
};

function rig(t: Test, { family = 'ipv4', directRouting = false, learning = false }: RigOptions = {}): Rig {
  const ip = FakeIp.install(t);
  const dataplane = new FakeDataplane((line) => ip.note(line));
  const peers = new VxlanPeers(dataplane.asDataplane, {
    device: family === 'ipv4' ? 'flannel.1' : 'flannel-v6.1',
    network: NETWORKS[family],
    signal: new AbortController().signal,
    journal: new Journal(t.testdir({}), '/run/flannel/subnet.env'),
    directRouting,
    learning,
  });
  return {
    ip,
    dataplane,
    peers,
    apply: async (leases) => ({ failed: await peers.apply(leases), done: ip.taken() }),
  };
}

/** The kernel's state once these peers are set up. */
function snapshotOf(leases: readonly Lease[], ...others: readonly Route[]): KernelSnapshot {
  const { neighbours, routes } = desiredState('flannel.1', leases);
  return {
    links: [],
    neighbours: [...neighbours].map(([dst, lladdr]) => ({ dst, lladdr, dev: 'flannel.1' })),
    routes: [
      ...others,
      ...[...routes].map(([destination, routeSpec]) => routeOf(destination, routeSpec.split(' ')[1])),
    ],
  };
}

function routeOf(dst: string, gateway?: string, changes: Partial<Route> = {}): Route {
  return {
    dst,
    ...(gateway && { gateway }),
    dev: 'flannel.1',
    protocol: 'boot',
    flags: ['onlink'],
    ...changes,
  };
}

const neighbour = (i: number): string =>
  `neighbour replace 10.244.${i}.0 lladdr 02:00:00:00:00:0${i} dev flannel.1 nud permanent`;
const fdb = (i: number): string => `fdb set 02:00:00:00:00:0${i} 192.168.77.${i}`;
const route = (i: number): string => `route replace 10.244.${i}.0/24 via 10.244.${i}.0 dev flannel.1 onlink`;
const noNeighbour = (i: number): string => `neighbour delete 10.244.${i}.0 dev flannel.1`;
const noFdb = (i: number): string => `fdb delete 02:00:00:00:00:0${i}`;
const noRoute = (i: number): string => `route delete 10.244.${i}.0/24 via 10.244.${i}.0 dev flannel.1`;

t.test('desiredState gives a peer a neighbour, an FDB entry and a route', async (t) => {
  t.same(desiredState('flannel.1', [nodeLease(2)]), {
    neighbours: new Map([['10.244.2.0', '02:00:00:00:00:02']]),
    fdb: new Map([['02:00:00:00:00:02', 0xc0a84d02]]),
    routes: new Map([['10.244.2.0/24', 'via 10.244.2.0 dev flannel.1 onlink']]),
  });
});

t.test('a new peer gets its neighbour, then its FDB entry, then its route', async (t) => {
  const { apply } = rig(t);
  t.same(await apply([nodeLease(2)]), { done: [neighbour(2), fdb(2), route(2)], failed: 0 });
});

t.test('a removed peer loses route, FDB entry and neighbour in reverse order', async (t) => {
  const { apply, peers } = rig(t);
  await apply([nodeLease(2)]);
  t.same(await apply([]), { done: [noRoute(2), noFdb(2), noNeighbour(2)], failed: 0 });
  t.same(peers.applied, desiredState('flannel.1', []));
});

t.test('a removed peer takes nothing that another peer with its address or its MAC uses', async (t) => {
  const { apply } = rig(t);
  const mac = '02:00:00:00:00:02';
  const [sameMac, otherMac] = [mac, '02:00:00:00:00:04'].map((vtepMac, index) =>
    leaseOf(`10.244.${3 + index}.0/24`, '192.168.77.2', vtepMac),
  ) as [Lease, Lease];
  await apply([nodeLease(2), sameMac, otherMac]);
  t.same((await apply([nodeLease(2), otherMac])).done, [noRoute(3), noNeighbour(3)]);
  t.same((await apply([nodeLease(2)])).done, [noRoute(4), noFdb(4), noNeighbour(4)]);
  await apply([nodeLease(2), sameMac]);
  t.same((await apply([sameMac])).done, [noRoute(2), noNeighbour(2)], 'either may go first');
});

t.test('apply starts no process for unchanged peers', async (t) => {
  const { apply, ip } = rig(t);
  await apply([nodeLease(2), nodeLease(3)]);
  const { starts } = ip;
  t.same(await apply([nodeLease(3), nodeLease(2)]), { done: [], failed: 0 });
  t.equal(ip.starts, starts, 'no process is started');
  t.same((await apply([nodeLease(2), nodeLease(3), nodeLease(4)])).done, [neighbour(4), fdb(4), route(4)]);
});

t.test('a changed public IP changes only the FDB entry', async (t) => {
  const { apply } = rig(t);
  await apply([nodeLease(2)]);
  const moved = leaseOf('10.244.2.0/24', '192.168.77.99', '02:00:00:00:00:02');
  t.same((await apply([moved])).done, ['fdb set 02:00:00:00:00:02 192.168.77.99']);
});

t.test('a changed MAC replaces neighbour and FDB entry and leaves no old entry', async (t) => {
  const { apply, peers } = rig(t);
  await apply([nodeLease(2)]);
  const changed = leaseOf('10.244.2.0/24', '192.168.77.2', '02:00:00:00:00:22');
  t.same((await apply([changed])).done, [
    'neighbour replace 10.244.2.0 lladdr 02:00:00:00:00:22 dev flannel.1 nud permanent',
    noFdb(2),
    'fdb set 02:00:00:00:00:22 192.168.77.2',
  ]);
  t.same(peers.applied, desiredState('flannel.1', [changed]));
});

t.test('apply after forgetNeighbours sets only the neighbours again', async (t) => {
  const { apply, peers } = rig(t);
  await apply([nodeLease(2), nodeLease(3)]);
  peers.forgetNeighbours();
  t.same(await apply([nodeLease(2), nodeLease(3)]), { done: [neighbour(2), neighbour(3)], failed: 0 });
});

t.test('a changed subnet moves neighbour and route and keeps the FDB entry', async (t) => {
  const { apply } = rig(t);
  await apply([nodeLease(2)]);
  const moved = leaseOf('10.244.9.0/24', '192.168.77.2', '02:00:00:00:00:02');
  t.same((await apply([moved])).done, [
    noRoute(2),
    'neighbour replace 10.244.9.0 lladdr 02:00:00:00:00:02 dev flannel.1 nud permanent',
    route(9),
    noNeighbour(2),
  ]);
});

t.test('two nodes that swap their MACs lose no FDB entry', async (t) => {
  const { apply, peers } = rig(t);
  await apply([nodeLease(2), nodeLease(3)]);
  const swapped = [
    leaseOf('10.244.2.0/24', '192.168.77.2', '02:00:00:00:00:03'),
    leaseOf('10.244.3.0/24', '192.168.77.3', '02:00:00:00:00:02'),
  ];
  const { done } = await apply(swapped);
  t.same(done.slice(2), ['fdb set 02:00:00:00:00:03 192.168.77.2', 'fdb set 02:00:00:00:00:02 192.168.77.3']);
  t.notOk(
    done.some((line) => line.includes('delete')),
    'a MAC that is still in use is not removed',
  );
  t.same(peers.applied, desiredState('flannel.1', swapped));
});

t.test('a changed prefix length under the same base keeps the neighbour', async (t) => {
  const { apply } = rig(t);
  await apply([nodeLease(2)]);
  const { done } = await apply([leaseOf('10.244.2.0/25', '192.168.77.2', '02:00:00:00:00:02')]);
  t.same(done, [noRoute(2), 'route replace 10.244.2.0/25 via 10.244.2.0 dev flannel.1 onlink']);
});

t.test('apply sets up a hundred peers with two processes', async (t) => {
  const { apply, ip } = rig(t);
  const peers = Array.from({ length: 100 }, (_, index) => nodeLease(index + 1));
  const { done, failed } = await apply(peers);
  t.equal(failed, 0);
  t.equal(done.length, 300);
  t.equal(ip.starts, 2);
  const last = (word: string): number => done.findLastIndex((line) => line.startsWith(word));
  const first = (word: string): number => done.findIndex((line) => line.startsWith(word));
  t.ok(last('neighbour') < first('fdb') && last('fdb') < first('route'));
});

t.test('apply counts and retries only what failed', async (t) => {
  const log = catchLog(t);
  const { apply, ip } = rig(t);
  ip.fail(route(2), 'Network is down');
  t.equal((await apply([nodeLease(2), nodeLease(3)])).failed, 1);
  t.equal(log.length, 1);
  mentions(
    t,
    log[0] as string,
    'failed to add vxlanRoute (10.244.2.0/24 -> 10.244.2.0): RTNETLINK answers: Network is down',
    `(ip ${route(2)})`,
  );
  t.same(await apply([nodeLease(2), nodeLease(3)]), { done: [route(2)], failed: 1 });
  ip.succeed(route(2));
  t.same(await apply([nodeLease(2), nodeLease(3)]), { done: [route(2)], failed: 0 });
  t.same(await apply([nodeLease(2), nodeLease(3)]), { done: [], failed: 0 });
});

t.test('a peer whose neighbour failed gets no route', async (t) => {
  catchLog(t);
  const { apply, ip } = rig(t);
  ip.fail(neighbour(2), 'No buffer space available');
  const { done, failed } = await apply([nodeLease(2), nodeLease(3)]);
  t.equal(failed, 1);
  t.notOk(done.includes(route(2)));
  t.ok(done.includes(route(3)));
  ip.succeed(neighbour(2));
  t.same((await apply([nodeLease(2), nodeLease(3)])).done, [neighbour(2), route(2)]);
});

t.test('apply treats ENOENT and ESRCH on delete as success', async (t) => {
  const log = catchLog(t);
  const { apply, ip, peers } = rig(t);
  await apply([nodeLease(2)]);
  ip.fail(noRoute(2), 'No such process');
  ip.fail(noNeighbour(2), 'No such file or directory');
  t.equal((await apply([])).failed, 0);
  t.same(peers.applied, desiredState('flannel.1', []));
  t.same(log, []);
});

t.test('apply retries a failed deletion', async (t) => {
  catchLog(t);
  const { apply, ip } = rig(t);
  await apply([nodeLease(2)]);
  ip.fail(noRoute(2), 'Operation not permitted');
  t.equal((await apply([])).failed, 1);
  ip.succeed(noRoute(2));
  t.same((await apply([])).done, [noRoute(2)]);
});

t.test('apply logs the first five failures and the number of the others', async (t) => {
  const log = catchLog(t);
  const { apply, ip } = rig(t);
  const peers = [1, 2, 3, 4, 5, 6, 7].map(nodeLease);
  for (let i = 1; i <= 7; i++) ip.fail(neighbour(i), 'Operation not permitted');
  t.equal((await apply(peers)).failed, 7);
  t.equal(log.length, 6);
  t.match(log[5], /\.\.\. and 2 more of 7 failed/);
});

t.test('apply rejects once the dataplane is gone and marks nothing as applied', async (t) => {
  const { ip, dataplane, peers } = rig(t);
  await dataplane.stop();
  await t.rejects(peers.apply([nodeLease(2)]), { message: 'the forwarding thread is gone' });
  t.same(ip.taken(), [neighbour(2)], 'no route');
  t.equal(peers.applied.fdb.size, 0);
});

t.test('apply deletes an IPv6 route before it replaces it', async (t) => {
  const { ip, peers } = rig(t, { family: 'ipv6' });
  const subnet = { base: (0xfd00_0244n << 96n) + (2n << 80n), prefixLength: 64 };
  const peer = { subnet, publicIp: (0xfd00_0077n << 96n) + 2n, vtepMac: '02:00:00:00:00:02' };
  ip.fail('route delete fd00:244:2::/64', 'No such process');
  t.equal(await peers.apply([peer]), 0, 'a missing old route is not a failure');
  t.same(ip.taken(), [
    'neighbour replace fd00:244:2:: lladdr 02:00:00:00:00:02 dev flannel-v6.1 nud permanent',
    `fdb set 02:00:00:00:00:02 ${[0xfd000077 | 0, 0, 0, 2]}`,
    'route delete fd00:244:2::/64',
    'route replace fd00:244:2::/64 via fd00:244:2:: dev flannel-v6.1 onlink',
  ]);
});

t.test('repair finds no drift in the state that apply left', async (t) => {
  const { apply, peers, ip } = rig(t);
  await apply([nodeLease(2)]);
  t.same(await peers.repair([nodeLease(2)], snapshotOf([nodeLease(2)])), { repairs: {}, failed: 0 });
  t.same(ip.taken(), []);
});

t.test('repair restores a missing route and a changed neighbour and counts both', async (t) => {
  const { apply, peers, ip } = rig(t);
  await apply([nodeLease(2)]);
  const snapshot: KernelSnapshot = {
    links: [],
    neighbours: [{ dst: '10.244.2.0', lladdr: '02:00:00:00:00:99', dev: 'flannel.1' }],
    routes: [],
  };
  t.same(await peers.repair([nodeLease(2)], snapshot), { repairs: { neighbour: 1, route: 1 }, failed: 0 });
  t.same(ip.taken(), [neighbour(2), route(2)]);
});

t.test('repair replaces a route that shadows ours with a better metric', async (t) => {
  const { apply, peers, ip } = rig(t);
  await apply([nodeLease(2)]);
  const foreign = routeOf('10.244.2.0/24', '192.168.77.99', { dev: 'eth0', flags: [] });
  const { repairs } = await peers.repair([nodeLease(2)], snapshotOf([nodeLease(2)], foreign));
  t.same(repairs, { route: 1 });
  t.same(ip.taken(), ['route delete 10.244.2.0/24', route(2)]);
});

const CONNECTED = routeOf('10.244.2.0/24', undefined, { dev: 'cni0', protocol: 'kernel', flags: [] });

t.test('repair finds no drift in a connected route behind ours', async (t) => {
  const { apply, peers, ip } = rig(t);
  await apply([nodeLease(2)]);
  const { neighbours, routes } = snapshotOf([nodeLease(2)]);
  const snapshot = { links: [], neighbours, routes: [...routes, CONNECTED] };
  t.same(await peers.repair([nodeLease(2)], snapshot), { repairs: {}, failed: 0 });
  t.same(ip.taken(), []);
});

t.test("repair restores a bridge's connected route behind the peer's route that replaced it", async (t) => {
  const { apply, peers, ip } = rig(t);
  await apply([nodeLease(2)]);
  const bridge = { index: 9, name: 'cni0', mac: '', mtu: 1450, up: true };
  const assigned = [
    { address: 0x0af40201, prefixLength: 24 },
    { address: 0x0af40901, prefixLength: 24 },
  ];
  const snapshot = { ...snapshotOf([nodeLease(2)]), links: [{ ...bridge, assigned }] };
  t.same(await peers.repair([nodeLease(2)], snapshot), { repairs: {}, failed: 0 });
  t.same(ip.taken(), ['route append 10.244.2.0/24 dev cni0 proto kernel scope link src 10.244.2.1']);
  await peers.repair([nodeLease(2)], { ...snapshot, routes: [...snapshot.routes, CONNECTED] });
  t.same(ip.taken(), [], 'it is there');
});

t.test('repair removes an unexpected entry on the device only after its grace period', async (t) => {
  const { apply, peers, ip } = rig(t);
  await apply([nodeLease(2)]);
  const clock = t.capture(performance, 'now', () => now);
  let now = 1000;
  const snapshot = snapshotOf([nodeLease(2), nodeLease(3)]);
  t.same((await peers.repair([nodeLease(2)], snapshot)).repairs, {});
  now += 1001;
  t.same((await peers.repair([nodeLease(2)], snapshot)).repairs, { neighbour: 1, route: 1 });
  t.same(ip.taken(), [noRoute(3), noNeighbour(3)]);
  clock.restore();
});

t.test('repair keeps unexpected entries where Learning is on', async (t) => {
  const { apply, peers, ip } = rig(t, { learning: true });
  await apply([nodeLease(2)]);
  let now = 1000;
  const clock = t.capture(performance, 'now', () => now);
  const snapshot = snapshotOf([nodeLease(2), nodeLease(3)]);
  await peers.repair([nodeLease(2)], snapshot);
  now += 60_000;
  t.same(await peers.repair([nodeLease(2)], snapshot), { repairs: {}, failed: 0 });
  t.same(ip.taken(), []);
  clock.restore();
});

t.test('apply records a direct route in the journal before it adds the route', async (t) => {
  const ip = FakeIp.install(t);
  catchLog(t);
  const journal = {
    setRoutes: async (_: string, routes: readonly string[]) => ip.note(`journal ${routes.join()}`),
  };
  const peers = new VxlanPeers(new FakeDataplane(() => {}).asDataplane, {
    device: 'flannel.1',
    network: NETWORKS.ipv4,
    signal: new AbortController().signal,
    journal: journal as unknown as Journal,
    directRouting: true,
    learning: false,
  });
  ip.answer('-force route get 192.168.77.2', [{ dst: '192.168.77.2', dev: 'eth0' }]);
  const direct = '10.244.2.0/24 via 192.168.77.2';
  t.equal(await peers.apply([nodeLease(2)]), 0);
  t.same(ip.taken(), [`journal ${direct}`, `route replace ${direct}`, `journal ${direct}`]);
  ip.fail(`route delete ${direct}`, 'Operation not permitted');
  t.equal(await peers.apply([]), 1);
  t.same(
    ip.taken(),
    [`journal ${direct}`, `route delete ${direct}`, `journal ${direct}`],
    'the route is still there',
  );
});

t.test(
  'ownsRoute knows the destinations of applied routes and nothing that only resembles them',
  async (t) => {
    const { apply, peers } = rig(t);
    await apply([nodeLease(2)]);
    t.equal(peers.ownsRoute('10.244.2.0/24'), true);
    t.equal(peers.ownsRoute('10.244.2.0/25'), false);
    t.equal(peers.ownsRoute('0.244.2.0/24'), false);
  },
);

t.test('status compares neighbour, FDB entry and route of each peer with the kernel', async (t) => {
  const { apply, peers } = rig(t);
  await apply([nodeLease(2)]);
  t.same(await peers.status([nodeLease(2), nodeLease(3)], snapshotOf([nodeLease(2)])), [
    {
      subnet: '10.244.2.0/24',
      publicIP: '192.168.77.2',
      vtepMAC: '02:00:00:00:00:02',
      neighbour: true,
      fdb: true,
      route: true,
    },
    {
      subnet: '10.244.3.0/24',
      publicIP: '192.168.77.3',
      vtepMAC: '02:00:00:00:00:03',
      neighbour: false,
      fdb: false,
      route: false,
    },
  ]);
});

t.test('adopt keeps what is right, and the next apply changes only the rest', async (t) => {
  const { ip, dataplane, peers, apply } = rig(t);
  t.ok(dataplane);
  await peers.serve([nodeLease(2), nodeLease(3)]);
  t.same(ip.taken(), [fdb(2), fdb(3)], 'packets pass first');
  await peers.adopt([nodeLease(2), nodeLease(3)], snapshotOf([nodeLease(2), nodeLease(4)]));
  const { done, failed } = await apply([nodeLease(2), nodeLease(3)]);
  t.equal(failed, 0);
  t.same(done, [
    'route delete 10.244.4.0/24 via 10.244.4.0 dev flannel.1',
    neighbour(3),
    route(3),
    noNeighbour(4),
  ]);
});

t.test('adopt keeps the direct routes of peers', async (t) => {
  const { ip, peers, apply } = rig(t, { directRouting: true });
  ip.answer('-force route get 192.168.77.2', [{ dst: '192.168.77.2', dev: 'ua' }]);
  const direct = routeOf('10.244.2.0/24', '192.168.77.2', { dev: 'ua', flags: [] });
  await peers.adopt([nodeLease(2)], { links: [], neighbours: [], routes: [direct] });
  t.notMatch((await apply([nodeLease(2)])).done.join('\n'), 'route');
});
