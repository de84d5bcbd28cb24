import t, { type Test } from 'tap';
import { formatIp } from '../../../../src/control/addresses/ip.js';
import { formatMac } from '../../../../src/control/addresses/mac.js';
import { vxlanBackend } from '../../../../src/control/backends/vxlan/backend.js';
import type { Lease, LeaseSet } from '../../../../src/control/leases/lease.js';
import { Node } from '../../../../src/control/node/reconciler.js';
import type { Dataplane, FdbChanges } from '../../../../src/dataplane/dataplane.js';
import { catchLog } from '../../../support/catch-log.js';
import { VXLAN } from '../../../support/conf.js';
import { FakeIp } from '../../../support/fake-ip.js';
import { leaseOf, nodeLease } from '../../../support/leases.js';
import { mentions, refusal } from '../../../support/user-error.js';

/** A name no device has, so that nothing under /proc or /sys is met. */
const DEVICE = 'weft-no-dev0';

function macOf({ high, low }: { high: number; low: number }): string {
  return formatMac(high * 2 ** 32 + (low >>> 0));
}

interface Rig {
  ip: FakeIp;
  node: Node;
  log: string[];
}

/** Node 1 of the pattern, with a dataplane that writes down what it is told among the commands. */
function rig(t: Test, updateFdb?: (changes: FdbChanges) => Promise<void>): Rig {
  const log = catchLog(t);
  const ip = FakeIp.install(t);
  ip.answer('-details address show', [
    { ifname: DEVICE, address: '02:00:00:00:00:01', mtu: 1450, flags: ['UP'] },
  ]);
  const dataplane = {
    setOwnMac: async (high: number, low: number) => ip.note(`own mac ${macOf({ high, low })}`),
    updateFdb:
      updateFdb ??
      (async ({ remove, set }: FdbChanges) => {
        for (const entry of remove) ip.note(`fdb delete ${macOf(entry)}`);
        for (const entry of set) ip.note(`fdb set ${macOf(entry)} ${formatIp(entry.address as number)}`);
      }),
  } as unknown as Dataplane;
  const options = {
    network: { base: 0x0af40000, prefixLength: 16 },
    backend: {
      ...vxlanBackend(VXLAN),
      device: DEVICE,
    },
    mtu: 1450,
    save: async () => {},
  };
  const node = new Node(options, dataplane, nodeLease(1));
  t.teardown(() => node.stop());
  return { ip, node, log };
}

/** What a source hands out for node 1. */
function set(...peers: Lease[]): LeaseSet {
  return { own: nodeLease(1), peers };
}

const peer = (i: number): string[] => [
  `neighbour replace 10.244.${i}.0 lladdr 02:00:00:00:00:0${i} dev ${DEVICE} nud permanent`,
  `fdb set 02:00:00:00:00:0${i} 192.168.77.${i}`,
  `route replace 10.244.${i}.0/24 via 10.244.${i}.0 dev ${DEVICE} onlink`,
];

t.test('start sets up the device, then the peers', async (t) => {
  const { ip, node } = rig(t);
  await node.start([nodeLease(2)]);
  const taken = ip.taken();
  t.same(
    taken.slice(0, 1),
    ['own mac 02:00:00:00:00:01'],
    'the dataplane knows its MAC before a frame can come',
  );
  t.match(
    taken[1],
    new RegExp(`^link set dev ${DEVICE} address 02:00:00:00:00:01 mtu 1450 txqueuelen \\d+$`),
  );
  t.same(taken.slice(2), [
    `address replace 10.244.1.0/32 dev ${DEVICE}`,
    `link set dev ${DEVICE} up`,
    ...peer(2),
  ]);
});

t.test('a MAC that someone else set on the fresh device is set back, with a warning', async (t) => {
  const { ip, node, log } = rig(t);
  ip.answer('-details address show', [
    { ifname: DEVICE, address: 'aa:aa:aa:aa:aa:aa', mtu: 1450, flags: [] },
  ]);
  await node.start([]);
  t.equal(ip.taken().at(-1), `link set dev ${DEVICE} address 02:00:00:00:00:01`);
  mentions(t, log.join('\n'), 'mac address wanted: 02:00:00:00:00:01, but got: aa:aa:aa:aa:aa:aa');
});

t.test('a device that cannot be configured ends the start, naming the command', async (t) => {
  const { ip, node } = rig(t);
  ip.fail(`link set dev ${DEVICE} up`, 'Operation not permitted');
  const message = await refusal(t, () => node.start([nodeLease(2)]));
  t.equal(message, `ip link set dev ${DEVICE} up: RTNETLINK answers: Operation not permitted`);
});

t.test('a device that disappears during the start is noticed', async (t) => {
  const { ip, node } = rig(t);
  ip.answer('-details address show', []);
  mentions(t, await refusal(t, () => node.start([])), DEVICE, 'disappeared');
});

t.test('an update changes what differs and nothing else', async (t) => {
  const { ip, node } = rig(t);
  await node.start([nodeLease(2)]);
  ip.taken();
  await node.update(set(nodeLease(3), nodeLease(2)));
  t.same(ip.taken(), peer(3));
});

t.test('updates that come together are applied one after the other, in order', async (t) => {
  const { ip, node } = rig(t);
  await node.start([]);
  ip.taken();
  await Promise.all([node.update(set(nodeLease(2))), node.update(set())]);
  t.same(ip.taken(), [
    ...peer(2),
    `route delete 10.244.2.0/24 via 10.244.2.0 dev ${DEVICE}`,
    'fdb delete 02:00:00:00:00:02',
    `neighbour delete 10.244.2.0 dev ${DEVICE}`,
  ]);
});

t.test("a new MAC of this node's own is followed by device and dataplane", async (t) => {
  const { ip, node } = rig(t);
  await node.start([]);
  ip.taken();
  await node.update({ own: leaseOf('10.244.1.0/24', '192.168.77.1', '02:00:00:00:00:11'), peers: [] });
  t.same(ip.taken(), [`link set dev ${DEVICE} address 02:00:00:00:00:11`, 'own mac 02:00:00:00:00:11']);
});

t.test('a new own MAC flushes the neighbours in the kernel: all are set again', async (t) => {
  const { ip, node } = rig(t);
  await node.start([nodeLease(2), nodeLease(3)]);
  ip.taken();
  await node.update({
    own: leaseOf('10.244.1.0/24', '192.168.77.1', '02:00:00:00:00:11'),
    peers: [nodeLease(2), nodeLease(3)],
  });
  t.same(ip.taken().slice(2), [peer(2)[0], peer(3)[0]]);
});

t.test("a new subnet of this node's own is followed by the device", async (t) => {
  const { ip, node } = rig(t);
  await node.start([nodeLease(2)]);
  ip.taken();
  await node.update({
    own: leaseOf('10.244.9.0/24', '192.168.77.1', '02:00:00:00:00:01'),
    peers: [nodeLease(2)],
  });
  t.same(
    ip.taken().filter((line) => line.startsWith('address') || line.startsWith('link')),
    [`address replace 10.244.9.0/32 dev ${DEVICE}`, `address delete 10.244.1.0/32 dev ${DEVICE}`],
  );
});

t.test('a change that failed is tried again by itself', async (t) => {
  const { ip, node, log } = rig(t);
  await node.start([]);
  const route = peer(2)[2] as string;
  ip.fail(route, 'Network is down');
  await node.update(set(nodeLease(2)));
  mentions(t, log.join('\n'), 'a change failed; trying again in 1 s');
  t.same(ip.taken().slice(-3), peer(2));
  ip.mend(route);
  const deadline = Date.now() + 5000;
  let taken: string[] = [];
  while (taken.length === 0 && Date.now() < deadline) {
    await new Promise((resolve) => setTimeout(resolve, 20));
    taken = ip.taken();
  }
  t.same(taken, [route]);
});

t.test('after stop nothing is changed any more', async (t) => {
  const { ip, node } = rig(t);
  await node.start([]);
  ip.taken();
  await node.stop();
  await node.update(set(nodeLease(2)));
  t.same(ip.taken(), []);
});

t.test('stop kills an ip that is at work, also during the start', async (t) => {
  const { ip, node } = rig(t);
  ip.hang('neighbour');
  const starting = node.start([nodeLease(2)]);
  while (ip.starts < 2) await new Promise((resolve) => setTimeout(resolve, 5));
  const from = performance.now();
  t.equal(node.stopped, false);
  await node.stop();
  t.equal(node.stopped, true);
  await t.resolves(starting, 'which is no failure');
  t.ok(performance.now() - from < 1000);
});

t.test('stop waits for the change under way', async (t) => {
  let release = (): void => {};
  let changing = false;
  const { node } = rig(t, async () => {
    changing = true;
    await new Promise<void>((resolve) => {
      release = resolve;
    });
    changing = false;
  });
  await node.start([]);
  const update = node.update(set(nodeLease(2)));
  while (!changing) await new Promise((resolve) => setTimeout(resolve, 1));
  const stopped = node.stop();
  t.equal(await Promise.race([stopped.then(() => 'stopped'), Promise.resolve('waiting')]), 'waiting');
  release();
  await stopped;
  t.equal(changing, false);
  await update;
});

t.test('few changed peers are logged one by one, many are summed up', async (t) => {
  const { node, log } = rig(t);
  await node.start([]);
  await node.update(set(nodeLease(2)));
  await node.update(set());
  mentions(
    t,
    log.join('\n'),
    'adding subnet: 10.244.2.0/24 PublicIP: 192.168.77.2 VtepMAC: 02:00:00:00:00:02',
    'removing subnet: 10.244.2.0/24',
  );
  log.length = 0;
  await node.update(set(...Array.from({ length: 20 }, (_, index) => nodeLease(index + 2))));
  t.same(
    log.filter((line) => line.includes('peers')),
    ['I peers: 20 added or changed, 0 removed, 20 in all'],
  );
});
