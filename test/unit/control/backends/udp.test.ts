import t, { type Test } from 'tap';
import { formatIp } from '../../../../src/control/addresses/ip.js';
import type { Overlay } from '../../../../src/control/backends/backend.js';
import { udpBackend } from '../../../../src/control/backends/udp.js';
import type { Lease } from '../../../../src/control/leases/lease.js';
import type { Dataplane, Prefix, Route } from '../../../../src/dataplane/dataplane.js';
import { catchLog } from '../../../support/catch-log.js';
import { FakeIp } from '../../../support/fake-ip.js';
import { leaseOf } from '../../../support/leases.js';
import { mentions } from '../../../support/user-error.js';

/** A name no device has, so that nothing under /proc or /sys is met. */
const DEVICE = 'weft-no-dev0';
const NETWORK_ROUTE = `route add 10.244.0.0/16 dev ${DEVICE} scope global`;
const CONF = { type: 'udp', port: 8285, outerMtu: undefined } as const;
const BACKEND = udpBackend(CONF);

function lease(index: number, publicIp = `192.168.77.${index}`): Lease {
  return leaseOf(`10.244.${index}.0/24`, publicIp);
}

interface Rig {
  ip: FakeIp;
  log: string[];
  overlay: Overlay;
  /** Applies the leases and returns what was done, in order, and how much failed. */
  apply(...leases: readonly Lease[]): Promise<{ done: string[]; failed: number }>;
}

/** Writes down what the dataplane is told among the commands. */
function rig(t: Test): Rig {
  const log = catchLog(t);
  const ip = FakeIp.install(t);
  ip.answer('-details address show', [{ ifindex: 5, ifname: DEVICE, mtu: 1472, flags: ['UP'] }]);
  const text = ({ base, prefix }: Prefix) => `${formatIp(base)}/${prefix}`;
  const dataplane = {
    updateRoutes: async ({ remove, set }: { remove: readonly Prefix[]; set: readonly Route[] }) => {
      for (const prefix of remove) ip.note(`delete ${text(prefix)}`);
      for (const route of set) ip.note(`set ${text(route)} ${formatIp(route.address)}`);
      const numbers = [
        ...remove.map(({ base }) => base),
        ...set.flatMap(({ base, address }) => [base, address]),
      ];
      t.same(
        numbers.map((number) => number | 0),
        numbers,
        'signed',
      );
    },
    setOwnAddress: async (address: number) => ip.note(`own address ${formatIp(address)} ${address}`),
  } as unknown as Dataplane;
  const overlay = udpBackend(CONF).overlay(dataplane, {
    device: DEVICE,
    mtu: 1472,
    network: { base: 0x0af40000, prefixLength: 16 },
    signal: new AbortController().signal,
    save: async () => {},
  });
  return {
    ip,
    log,
    overlay,
    apply: async (...leases) => ({ failed: await overlay.apply(leases), done: ip.taken() }),
  };
}

t.test('the backend is that of flannel: flannel0, 28 bytes of headers, senders checked', async (t) => {
  t.match(BACKEND, { device: 'flannel0', overhead: 28, peerCheck: 'strict', learning: false });
  t.same(BACKEND.tunnel(leaseOf('200.0.1.0/24', '192.168.77.1'), 'mac'), {
    type: 'udp',
    address: 0xc8000100 | 0,
    peerCheck: 'mac',
  });
});

t.test('it steps aside for a vxlan device, whatever its VNI', async (t) => {
  for (const name of ['flannel.1', 'flannel.4242']) t.match(name, BACKEND.rivals);
  for (const name of ['flannel0', 'flannel.1a', 'xflannel.1', 'flannel-v6.1'])
    t.notMatch(name, BACKEND.rivals);
});

t.test('the device gets MTU and base address and comes up, and no route yet', async (t) => {
  const { ip, overlay } = rig(t);
  await overlay.configure(lease(1));
  t.same(ip.taken().slice(1), [`address replace 10.244.1.0/32 dev ${DEVICE}`, `link set dev ${DEVICE} up`]);
});

t.test('a peer is a route in the dataplane; the one route of the kernel comes after the first', async (t) => {
  const { apply } = rig(t);
  t.same(await apply(lease(2), lease(3)), {
    done: ['set 10.244.2.0/24 192.168.77.2', 'set 10.244.3.0/24 192.168.77.3', NETWORK_ROUTE],
    failed: 0,
  });
});

t.test('what does not change is not touched', async (t) => {
  const { apply, ip } = rig(t);
  await apply(lease(2), lease(3));
  const { starts } = ip;
  t.same(await apply(lease(3), lease(2)), { done: [], failed: 0 });
  t.same((await apply(lease(3), lease(2), lease(4))).done, ['set 10.244.4.0/24 192.168.77.4']);
  t.equal(ip.starts, starts, 'no process is started');
});

t.test('a peer that goes, one that moves and one that comes are one change', async (t) => {
  const { apply } = rig(t);
  await apply(lease(2), lease(3));
  t.same((await apply(lease(3, '203.0.113.3'), leaseOf('200.1.0.0/20', '192.168.77.2'))).done, [
    'delete 10.244.2.0/24',
    'set 10.244.3.0/24 203.0.113.3',
    'set 200.1.0.0/20 192.168.77.2',
  ]);
});

t.test('a new subnet of the own lease is followed by device and dataplane', async (t) => {
  const { ip, overlay } = rig(t);
  await overlay.reconfigure(lease(1), leaseOf('200.0.1.0/24', '192.168.77.1'));
  t.same(ip.taken(), [
    `address replace 200.0.1.0/32 dev ${DEVICE}`,
    `address delete 10.244.1.0/32 dev ${DEVICE}`,
    `own address 200.0.1.0 ${0xc8000100 | 0}`,
  ]);
});

t.test('a route to Network that is there already stays, with one warning', async (t) => {
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

t.test('a route to Network that cannot be set counts as failed and is tried again', async (t) => {
  const { apply, ip, log } = rig(t);
  ip.fail(NETWORK_ROUTE, 'Network is down');
  t.equal((await apply(lease(2))).failed, 1);
  t.same(log, [`W ip ${NETWORK_ROUTE}: RTNETLINK answers: Network is down`]);
  ip.mend(NETWORK_ROUTE);
  t.same(await apply(lease(2)), { done: [NETWORK_ROUTE], failed: 0 });
  t.same(await apply(lease(2)), { done: [], failed: 0 });
});

t.test('status has the route of every peer, as long as the kernel has its own', async (t) => {
  const { apply, ip, overlay } = rig(t);
  await apply(lease(2));
  const peers = [lease(2), lease(3), lease(2, '203.0.113.3')];
  const status = async () => (await overlay.status(peers)).map(({ route }) => route);
  t.same(await status(), [false, false, false], 'no packet would come');
  ip.answer('-4 route show 10.244.0.0/16', [{ dst: '10.244.0.0/16', dev: DEVICE, flags: [] }]);
  t.same(await status(), [true, false, false]);
  t.same(await overlay.status([lease(2)]), [
    { subnet: '10.244.2.0/24', publicIP: '192.168.77.2', route: true },
  ]);
});

t.test('a dataplane that is gone stops it, and what was not applied stays wanted', async (t) => {
  const ip = FakeIp.install(t);
  const overlay = udpBackend(CONF).overlay(
    {
      updateRoutes: () => Promise.reject(new Error('the forwarding thread is gone')),
    } as unknown as Dataplane,
    {
      device: DEVICE,
      mtu: 1472,
      network: { base: 0x0af40000, prefixLength: 16 },
      signal: new AbortController().signal,
      save: async () => {},
    },
  );
  await t.rejects(overlay.apply([lease(2)]), { message: 'the forwarding thread is gone' });
  t.same(ip.taken(), [], 'no route');
  t.match(await overlay.status([lease(2)]), [{ route: false }]);
});
