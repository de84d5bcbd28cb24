import t, { type Test } from 'tap';
import { formatIp } from '../../../../../src/control/addresses/ip.js';
import { formatMac } from '../../../../../src/control/addresses/mac.js';
import { wantedState } from '../../../../../src/control/backends/vxlan/peer-state.js';
import { PeerReconciler } from '../../../../../src/control/backends/vxlan/peers.js';
import type { Lease } from '../../../../../src/control/leases/lease.js';
import { catchLog } from '../../../../support/catch-log.js';
import { FakeIp } from '../../../../support/fake-ip.js';
import { leaseOf, nodeLease } from '../../../../support/leases.js';
import { mentions } from '../../../../support/user-error.js';

function macOf({ high, low }: { high: number; low: number }): string {
  return formatMac(high * 2 ** 32 + (low >>> 0));
}

interface Rig {
  ip: FakeIp;
  reconciler: PeerReconciler;
  /** Applies the leases and returns what was done, in order, and how much failed. */
  apply(leases: readonly Lease[]): Promise<{ done: string[]; failed: number }>;
}

function rig(t: Test): Rig {
  const ip = FakeIp.install(t);
  const reconciler = new PeerReconciler('flannel.1', 'ipv4', {
    updateFdb: async ({ remove, set }) => {
      for (const entry of remove) ip.note(`fdb delete ${macOf(entry)}`);
      for (const entry of set) ip.note(`fdb set ${macOf(entry)} ${formatIp(entry.address as number)}`);
    },
  });
  return {
    ip,
    reconciler,
    apply: async (leases) => {
      const failed = await reconciler.apply(wantedState('flannel.1', leases));
      return { done: ip.taken(), failed };
    },
  };
}

const neighbour = (i: number): string =>
  `neighbour replace 10.244.${i}.0 lladdr 02:00:00:00:00:0${i} dev flannel.1 nud permanent`;
const fdb = (i: number): string => `fdb set 02:00:00:00:00:0${i} 192.168.77.${i}`;
const route = (i: number): string => `route replace 10.244.${i}.0/24 via 10.244.${i}.0 dev flannel.1 onlink`;
const noNeighbour = (i: number): string => `neighbour delete 10.244.${i}.0 dev flannel.1`;
const noFdb = (i: number): string => `fdb delete 02:00:00:00:00:0${i}`;
const noRoute = (i: number): string => `route delete 10.244.${i}.0/24 via 10.244.${i}.0 dev flannel.1`;

t.test('a peer wants a neighbour, an FDB entry and a route', async (t) => {
  t.same(wantedState('flannel.1', [nodeLease(2)]), {
    neighbours: new Map([['10.244.2.0', '02:00:00:00:00:02']]),
    fdb: new Map([['02:00:00:00:00:02', 0xc0a84d02]]),
    routes: new Map([['10.244.2.0/24', 'via 10.244.2.0 dev flannel.1 onlink']]),
  });
});

t.test('a new peer gets neighbour, FDB entry, route, in this order', async (t) => {
  const { apply } = rig(t);
  t.same(await apply([nodeLease(2)]), { done: [neighbour(2), fdb(2), route(2)], failed: 0 });
});

t.test('a peer that goes loses them the other way round', async (t) => {
  const { apply, reconciler } = rig(t);
  await apply([nodeLease(2)]);
  t.same(await apply([]), { done: [noRoute(2), noFdb(2), noNeighbour(2)], failed: 0 });
  t.same(reconciler.applied, wantedState('flannel.1', []));
});

t.test('what does not change is not touched', async (t) => {
  const { apply, ip } = rig(t);
  await apply([nodeLease(2), nodeLease(3)]);
  const { starts } = ip;
  t.same(await apply([nodeLease(3), nodeLease(2)]), { done: [], failed: 0 });
  t.equal(ip.starts, starts, 'no process is started');
  t.same((await apply([nodeLease(2), nodeLease(3), nodeLease(4)])).done, [neighbour(4), fdb(4), route(4)]);
});

t.test('a changed public IP changes the FDB entry alone', async (t) => {
  const { apply } = rig(t);
  await apply([nodeLease(2)]);
  const moved = leaseOf('10.244.2.0/24', '192.168.77.99', '02:00:00:00:00:02');
  t.same((await apply([moved])).done, ['fdb set 02:00:00:00:00:02 192.168.77.99']);
});

t.test('a changed MAC replaces neighbour and FDB entry and leaves nothing of the old', async (t) => {
  const { apply, reconciler } = rig(t);
  await apply([nodeLease(2)]);
  const changed = leaseOf('10.244.2.0/24', '192.168.77.2', '02:00:00:00:00:22');
  t.same((await apply([changed])).done, [
    'neighbour replace 10.244.2.0 lladdr 02:00:00:00:00:22 dev flannel.1 nud permanent',
    noFdb(2),
    'fdb set 02:00:00:00:00:22 192.168.77.2',
  ]);
  t.same(reconciler.applied, wantedState('flannel.1', [changed]));
});

t.test('neighbours that the kernel flushed are set again, and they alone', async (t) => {
  const { apply, reconciler } = rig(t);
  await apply([nodeLease(2), nodeLease(3)]);
  reconciler.forgetNeighbours();
  t.same(await apply([nodeLease(2), nodeLease(3)]), { done: [neighbour(2), neighbour(3)], failed: 0 });
});

t.test('a changed subnet moves neighbour and route and leaves the FDB entry', async (t) => {
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

t.test('two nodes that swap their MACs need no special case', async (t) => {
  const { apply, reconciler } = rig(t);
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
  t.same(reconciler.applied, wantedState('flannel.1', swapped));
});

t.test('a prefix that changes under the same base keeps the neighbour', async (t) => {
  const { apply } = rig(t);
  await apply([nodeLease(2)]);
  const { done } = await apply([leaseOf('10.244.2.0/25', '192.168.77.2', '02:00:00:00:00:02')]);
  t.same(done, [noRoute(2), 'route replace 10.244.2.0/25 via 10.244.2.0 dev flannel.1 onlink']);
});

t.test('many peers go in two processes', async (t) => {
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

t.test('what failed is counted and tried again, what succeeded is not', async (t) => {
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
  ip.mend(route(2));
  t.same(await apply([nodeLease(2), nodeLease(3)]), { done: [route(2)], failed: 0 });
  t.same(await apply([nodeLease(2), nodeLease(3)]), { done: [], failed: 0 });
});

t.test('without its neighbour a peer gets no route, which would make the kernel ask for it', async (t) => {
  catchLog(t);
  const { apply, ip } = rig(t);
  ip.fail(neighbour(2), 'No buffer space available');
  const { done, failed } = await apply([nodeLease(2), nodeLease(3)]);
  t.equal(failed, 1);
  t.notOk(done.includes(route(2)));
  t.ok(done.includes(route(3)));
  ip.mend(neighbour(2));
  t.same((await apply([nodeLease(2), nodeLease(3)])).done, [neighbour(2), route(2)]);
});

t.test('what is to go and is already gone is gone', async (t) => {
  const log = catchLog(t);
  const { apply, ip, reconciler } = rig(t);
  await apply([nodeLease(2)]);
  ip.fail(noRoute(2), 'No such process');
  ip.fail(noNeighbour(2), 'No such file or directory');
  t.equal((await apply([])).failed, 0);
  t.same(reconciler.applied, wantedState('flannel.1', []));
  t.same(log, []);
});

t.test('what cannot be removed is tried again', async (t) => {
  catchLog(t);
  const { apply, ip } = rig(t);
  await apply([nodeLease(2)]);
  ip.fail(noRoute(2), 'Operation not permitted');
  t.equal((await apply([])).failed, 1);
  ip.mend(noRoute(2));
  t.same((await apply([])).done, [noRoute(2)]);
});

t.test('of many failures the first five are logged and the rest is summed up', async (t) => {
  const log = catchLog(t);
  const { apply, ip } = rig(t);
  const peers = [1, 2, 3, 4, 5, 6, 7].map(nodeLease);
  for (let i = 1; i <= 7; i++) ip.fail(neighbour(i), 'Operation not permitted');
  t.equal((await apply(peers)).failed, 7);
  t.equal(log.length, 6);
  t.match(log[5], /\.\.\. and 2 more of 7 failed/);
});

t.test('a dataplane that is gone stops the reconciler, and what was not applied stays wanted', async (t) => {
  const ip = FakeIp.install(t);
  const reconciler = new PeerReconciler('flannel.1', 'ipv4', {
    updateFdb: () => Promise.reject(new Error('the forwarding thread is gone')),
  });
  await t.rejects(reconciler.apply(wantedState('flannel.1', [nodeLease(2)])), {
    message: 'the forwarding thread is gone',
  });
  t.same(ip.taken(), [neighbour(2)], 'no route');
  t.equal(reconciler.applied.fdb.size, 0);
});

t.test('an IPv6 route makes room for the one that takes its place', async (t) => {
  const ip = FakeIp.install(t);
  const words: unknown[] = [];
  const reconciler = new PeerReconciler('flannel-v6.1', 'ipv6', {
    updateFdb: async ({ set }) => void words.push(...set.map(({ address }) => address)),
  });
  const subnet = { base: (0xfd00_0244n << 96n) + (2n << 80n), prefixLength: 64 };
  const peer = { subnet, publicIp: (0xfd00_0077n << 96n) + 2n, vtepMac: '02:00:00:00:00:02' };
  ip.fail('route delete fd00:244:2::/64', 'No such process');
  t.equal(await reconciler.apply(wantedState('flannel-v6.1', [peer])), 0, 'there may be none');
  t.same(ip.taken(), [
    'neighbour replace fd00:244:2:: lladdr 02:00:00:00:00:02 dev flannel-v6.1 nud permanent',
    'route delete fd00:244:2::/64',
    'route replace fd00:244:2::/64 via fd00:244:2:: dev flannel-v6.1 onlink',
  ]);
  t.same(words, [[0xfd000077 | 0, 0, 0, 2]], 'the dataplane takes signed words');
});
