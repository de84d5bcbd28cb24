import t, { type Test } from 'tap';
import type { PeerReconciler } from '../../../../src/control/backends/backend.js';
import { udpBackend } from '../../../../src/control/backends/udp.js';
import { Journal } from '../../../../src/control/journal.js';
import type { KernelSnapshot, Route } from '../../../../src/control/kernel/snapshot.js';
import type { Lease } from '../../../../src/control/leases/lease.js';
import { catchLog } from '../../../support/catch-log.js';
import { FakeDataplane } from '../../../support/fake-dataplane.js';
import { FakeIp } from '../../../support/fake-ip.js';
import { leaseOf } from '../../../support/leases.js';
import { mentions } from '../../../support/user-error.js';

/** A name that no device has, so that the test touches nothing under /proc or /sys. */
const DEVICE = 'weft-no-dev0';
const NETWORK = { base: 0x0af40000, prefixLength: 16 };
const NETWORK_ROUTE = `route add 10.244.0.0/16 dev ${DEVICE} scope global`;
const CONF = { type: 'udp', port: 8285, outerMtu: undefined } as const;
const BACKEND = udpBackend(CONF);

function lease(index: number, publicIp = `192.168.77.${index}`): Lease {
  return leaseOf(`10.244.${index}.0/24`, publicIp);
}

interface Rig {
  ip: FakeIp;
  log: string[];
  dataplane: FakeDataplane;
  peers: PeerReconciler;
  /** Applies the leases and returns what was done, in order, and how much failed. */
  apply(...leases: readonly Lease[]): Promise<{ done: string[]; failed: number }>;
}

function rig(t: Test): Rig {
  const log = catchLog(t);
  const ip = FakeIp.install(t);
  const dataplane = new FakeDataplane((line) => ip.note(line));
  const peers = udpBackend(CONF).peers(dataplane.asDataplane, {
    device: DEVICE,
    network: NETWORK,
    signal: new AbortController().signal,
    journal: new Journal(t.testdir({}), '/run/flannel/subnet.env'),
  });
  return {
    ip,
    log,
    dataplane,
    peers,
    apply: async (...leases) => ({ failed: await peers.apply(leases), done: ip.taken() }),
  };
}

/** A kernel whose routes to the pod network use these devices, in this order. */
function snapshotWith(...devices: string[]): KernelSnapshot {
  const routes = devices.map((dev): Route => ({ dst: '10.244.0.0/16', dev, protocol: 'boot' }));
  return { links: [], neighbours: [], routes };
}

t.test("udpBackend has flannel's device name, overhead and strict peer check", async (t) => {
  t.match(BACKEND, { device: 'flannel0', overhead: 28, peerCheck: 'strict', learning: false });
  t.same(BACKEND.tunnel(leaseOf('200.0.1.0/24', '192.168.77.1'), 'mac'), {
    type: 'udp',
    address: 0xc8000100 | 0,
    peerCheck: 'mac',
  });
});

t.test('udpBackend names every vxlan device of flannel as a rival', async (t) => {
  for (const name of ['flannel.1', 'flannel.4242']) t.match(name, BACKEND.rivals);
  for (const name of ['flannel0', 'flannel.1a', 'xflannel.1', 'flannel-v6.1'])
    t.notMatch(name, BACKEND.rivals);
});

t.test("apply adds routes to the dataplane, then the kernel's one route", async (t) => {
  const { apply } = rig(t);
  t.same(await apply(lease(2), lease(3)), {
    done: ['set 10.244.2.0/24 192.168.77.2', 'set 10.244.3.0/24 192.168.77.3', NETWORK_ROUTE],
    failed: 0,
  });
});

t.test('apply starts no process for unchanged peers', async (t) => {
  const { apply, ip } = rig(t);
  await apply(lease(2), lease(3));
  const { starts } = ip;
  t.same(await apply(lease(3), lease(2)), { done: [], failed: 0 });
  t.same((await apply(lease(3), lease(2), lease(4))).done, ['set 10.244.4.0/24 192.168.77.4']);
  t.equal(ip.starts, starts, 'no process is started');
});

t.test('apply removes, moves and adds peers in one change', async (t) => {
  const { apply } = rig(t);
  await apply(lease(2), lease(3));
  t.same((await apply(lease(3, '203.0.113.3'), leaseOf('200.1.0.0/20', '192.168.77.2'))).done, [
    'delete 10.244.2.0/24',
    'set 10.244.3.0/24 203.0.113.3',
    'set 200.1.0.0/20 192.168.77.2',
  ]);
});

t.test('a removed peer takes nothing that another peer with its address uses', async (t) => {
  const { apply } = rig(t);
  await apply(lease(2), lease(3, '192.168.77.2'));
  t.same((await apply(lease(3, '192.168.77.2'))).done, ['delete 10.244.2.0/24']);
});

t.test('setOwnLease passes the device address to the dataplane as a signed number', async (t) => {
  const { ip, dataplane } = rig(t);
  await BACKEND.setOwnLease(dataplane.asDataplane, leaseOf('200.0.1.0/24', '192.168.77.1'));
  t.same(ip.taken(), ['own address 200.0.1.0']);
});

t.test('apply keeps an existing route to the pod network and warns once', async (t) => {
  const { apply, ip, log } = rig(t);
  ip.fail(NETWORK_ROUTE, 'File exists');
  t.equal((await apply(lease(2))).failed, 0);
  t.same((await apply(lease(2))).done, []);
  t.equal(log.length, 1);
  mentions(
    t,
    log[0] ?? '',
    'a route to 10.244.0.0/16 exists already and stays',
    'ip route show 10.244.0.0/16',
  );
});

t.test('apply counts and retries a failed network route', async (t) => {
  const { apply, ip, log } = rig(t);
  ip.fail(NETWORK_ROUTE, 'Network is down');
  t.equal((await apply(lease(2))).failed, 1);
  t.same(log, [`W ip ${NETWORK_ROUTE}: RTNETLINK answers: Network is down`]);
  ip.succeed(NETWORK_ROUTE);
  t.same(await apply(lease(2)), { done: [NETWORK_ROUTE], failed: 0 });
  t.same(await apply(lease(2)), { done: [], failed: 0 });
});

t.test('status reports a route per peer while the kernel has the network route', async (t) => {
  const { apply, peers } = rig(t);
  await apply(lease(2));
  const leases = [lease(2), lease(3), lease(2, '203.0.113.3')];
  const routes = async (snapshot: KernelSnapshot) =>
    (await peers.status(leases, snapshot)).map(({ route }) => route);
  t.same(await routes(snapshotWith()), [false, false, false], 'no packet reaches the device');
  t.same(await routes(snapshotWith(DEVICE)), [true, false, false]);
  t.same(
    await routes(snapshotWith('eth0', DEVICE)),
    [false, false, false],
    'the kernel uses the first route',
  );
});

t.test('repair adds the network route again and counts it', async (t) => {
  const { apply, peers, ip } = rig(t);
  await apply(lease(2));
  t.same(await peers.repair([lease(2)], snapshotWith(DEVICE)), { repairs: {}, failed: 0 });
  t.same(ip.taken(), []);
  t.same(await peers.repair([lease(2)], snapshotWith()), { repairs: { route: 1 }, failed: 0 });
  t.same(ip.taken(), [NETWORK_ROUTE.replace('add', 'replace')]);
});

t.test('repair deletes a route before ours, which replace would not touch', async (t) => {
  const { apply, peers, ip } = rig(t);
  await apply(lease(2));
  t.same((await peers.repair([lease(2)], snapshotWith('eth0', DEVICE))).repairs, { route: 1 });
  t.same(ip.taken(), ['route delete 10.244.0.0/16', NETWORK_ROUTE.replace('add', 'replace')]);
});

t.test('repair leaves a network route of another owner alone', async (t) => {
  const { apply, peers, ip } = rig(t);
  ip.fail(NETWORK_ROUTE, 'File exists');
  await apply(lease(2));
  ip.taken();
  t.same(await peers.repair([lease(2)], snapshotWith('eth0')), { repairs: {}, failed: 0 });
  t.same(ip.taken(), []);
});

t.test('apply rejects once the dataplane is gone and adds no network route', async (t) => {
  const { ip, dataplane, peers } = rig(t);
  await dataplane.stop();
  await t.rejects(peers.apply([lease(2)]), { message: 'the forwarding thread is gone' });
  t.same(ip.taken(), []);
  t.match(await peers.status([lease(2)], snapshotWith()), [{ route: false }]);
});

t.test('ownsRoute knows the network route only', async (t) => {
  const { peers } = rig(t);
  t.equal(peers.ownsRoute('10.244.0.0/16'), true);
  t.equal(peers.ownsRoute('10.244.0.0/24'), false);
});

t.test('adopt counts the route of an earlier run as its own', async (t) => {
  const { ip, peers, apply } = rig(t);
  await peers.serve([lease(2)]);
  t.same(ip.taken(), ['set 10.244.2.0/24 192.168.77.2']);
  await peers.adopt([lease(2)], snapshotWith(DEVICE));
  t.same(await apply(lease(2)), { done: [], failed: 0 });
});

t.test('adopt leaves a missing route to the next apply', async (t) => {
  const { peers, apply } = rig(t);
  await peers.adopt([], snapshotWith('eth0'));
  t.same((await apply()).done, [NETWORK_ROUTE]);
});
