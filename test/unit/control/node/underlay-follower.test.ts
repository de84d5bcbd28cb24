import t, { type Test } from 'tap';
import type { Family } from '../../../../src/control/addresses/family.js';
import type { Ip } from '../../../../src/control/addresses/ip.js';
import { vxlanBackend } from '../../../../src/control/backends/vxlan/backend.js';
import type { NetConf } from '../../../../src/control/config/net-conf.js';
import type { LeaseRequest } from '../../../../src/control/leases/source.js';
import type { FamilyTunnel } from '../../../../src/control/node/family-tunnel.js';
import { UnderlayFollower } from '../../../../src/control/node/underlay-follower.js';
import type { FamilyPlan } from '../../../../src/control/plan.js';
import type { UnderlayState, UnderlayTracker } from '../../../../src/control/underlay/tracker.js';
import { catchLog } from '../../../support/catch-log.js';
import { VXLAN } from '../../../support/conf.js';
import { nodeLease } from '../../../support/leases.js';
import { mentions } from '../../../support/user-error.js';

/** A tunnel that records what it follows. */
interface FakeTunnel {
  plan: FamilyPlan;
  own: { subnet: { base: Ip; prefixLength: number } };
  underlayAbsent: string | null;
  address: { unbound: string | null };
  followUnderlay(plan: FamilyPlan): Promise<void>;
}

interface Rig {
  follower: UnderlayFollower;
  log: string[];
  tunnels: FakeTunnel[];
  /** What the follower did: `follow ipv4`, `subnet.env`, `publish 3232255233`, `refused …`. */
  did: string[];
  states: Map<Family, UnderlayState>;
  /** Set to make `move` fail. */
  refusal: { error?: Error };
}

const ADDRESS: Record<Family, Ip> = { ipv4: 0xc0a84d01, ipv6: (0xfdn << 120n) | 1n };

function present(family: Family, { address = ADDRESS[family], mtu = 1500, index = 3 } = {}): UnderlayState {
  return {
    name: 'present',
    link: {
      index,
      name: 'eth0',
      mac: '',
      mtu,
      kind: undefined,
      data: {},
      ethernet: true,
      up: true,
      carrier: true,
      alias: undefined,
      master: undefined,
      usable: { ipv4: [], ipv6: [] },
      tentative: [],
      assigned: [],
    },
    address: { address, addresses: [address], publicIp: address },
    local: [address],
  };
}

function rig(t: Test, families: Family[] = ['ipv4']): Rig {
  const log = catchLog(t);
  const did: string[] = [];
  const states = new Map<Family, UnderlayState>(families.map((family) => [family, present(family)]));
  const refusal: { error?: Error } = {};
  const tunnels = families.map((family): FakeTunnel => {
    const { link, address, local } = present(family) as Extract<UnderlayState, { name: 'present' }>;
    const tunnel: FakeTunnel = {
      plan: {
        family,
        backend: vxlanBackend(VXLAN, family),
        network: { base: 0x0af40000, prefixLength: 16 },
        link,
        address,
        local,
        adopted: undefined,
        origin: 'create',
        mtu: family === 'ipv4' ? 1450 : 1430,
        podMtu: families.includes('ipv6') ? 1430 : 1450,
        peerCheck: 'strict',
      },
      own: nodeLease(1),
      underlayAbsent: null,
      address: { unbound: null },
      followUnderlay: async (plan) => {
        tunnel.plan = plan;
        did.push(`follow ${family}`);
      },
    };
    return tunnel;
  });
  const follower = new UnderlayFollower({
    tracker: { observe: async () => states } as unknown as UnderlayTracker,
    netConf: {} as NetConf,
    tunnels: tunnels as unknown as FamilyTunnel[],
    published: families.map((family) => ADDRESS[family]),
    source: {
      move: async ({ families: requested }: LeaseRequest) => {
        did.push(`publish ${requested.ipv4?.publicIp}`);
        if (refusal.error !== undefined) throw refusal.error;
      },
    },
    onPodMtu: async () => void did.push('subnet.env'),
    onRefused: (error) => did.push(`refused ${error.message}`),
  });
  return { follower, log, tunnels, did, states, refusal };
}

t.test('follow changes nothing while the underlay is as before', async (t) => {
  const { follower, did } = rig(t);
  await follower.follow();
  t.same(did, []);
});

t.test('follow passes a new MTU to the tunnel and to subnet.env, and logs it once', async (t) => {
  const { follower, did, states, tunnels, log } = rig(t);
  states.set('ipv4', present('ipv4', { mtu: 1400 }));
  await follower.follow();
  await follower.follow();
  t.same(did, ['follow ipv4', 'subnet.env']);
  t.match(tunnels[0]?.plan, { mtu: 1350, podMtu: 1350 });
  t.equal(log.length, 1);
  mentions(t, log[0] ?? '', 'MTU of eth0 changed from 1500 to 1400', 'flannel.1 now has MTU 1350');
});

t.test('the MTU of the pods is the lowest of both families', async (t) => {
  const { follower, did, states, tunnels } = rig(t, ['ipv4', 'ipv6']);
  states.set('ipv4', present('ipv4', { mtu: 1400 }));
  states.set('ipv6', present('ipv6', { mtu: 1400 }));
  await follower.follow();
  t.same(did, ['follow ipv4', 'follow ipv6', 'subnet.env']);
  t.same(
    tunnels.map(({ plan }) => [plan.mtu, plan.podMtu]),
    [
      [1350, 1330],
      [1330, 1330],
    ],
  );
});

t.test('an IPv6 device keeps its MTU where the new one is too low, and the log says so once', async (t) => {
  const { follower, states, tunnels, log } = rig(t, ['ipv4', 'ipv6']);
  states.set('ipv4', present('ipv4', { mtu: 1300 }));
  states.set('ipv6', present('ipv6', { mtu: 1300 }));
  await follower.follow();
  await follower.follow();
  t.same(
    tunnels.map(({ plan }) => [plan.mtu, plan.podMtu]),
    [
      [1250, 1280],
      [1430, 1280],
    ],
    'pods keep IPv6, which needs 1280',
  );
  t.equal(log.filter((line) => line.includes('IPv6 needs 1280')).length, 1);
});

t.test('follow moves the tunnel to a new address, then publishes it once', async (t) => {
  const { follower, did, states } = rig(t);
  states.set('ipv4', present('ipv4', { address: 0xc0a84d63 }));
  await follower.follow();
  await follower.follow();
  t.same(did, ['follow ipv4', `publish ${0xc0a84d63}`]);
});

t.test('subnet.env is written again after a tunnel failed to follow', async (t) => {
  const { follower, did, states, tunnels } = rig(t);
  const [tunnel] = tunnels as [FakeTunnel];
  const { followUnderlay } = tunnel;
  tunnel.followUnderlay = async (plan) => {
    tunnel.plan = plan;
    throw new Error('the device is gone');
  };
  states.set('ipv4', present('ipv4', { mtu: 1400 }));
  await t.rejects(follower.follow(), { message: 'the device is gone' });
  tunnel.followUnderlay = followUnderlay;
  await follower.follow();
  t.same(did, ['subnet.env']);
});

t.test('a refused publication is reported', async (t) => {
  const { follower, did, states, refusal } = rig(t);
  refusal.error = new Error('no lease');
  states.set('ipv4', present('ipv4', { address: 0xc0a84d63 }));
  await follower.follow();
  t.same(did.slice(2), ['refused no lease']);
});

t.test('an absent family keeps its plan, and the other one is followed', async (t) => {
  const { follower, did, states, tunnels } = rig(t, ['ipv4', 'ipv6']);
  states.set('ipv6', { name: 'absent', reason: 'no IPv6 address' });
  states.set('ipv4', present('ipv4', { index: 9 }));
  await follower.follow();
  t.equal(follower.waits, true);
  t.same(
    tunnels.map(({ underlayAbsent }) => underlayAbsent),
    [null, 'no IPv6 address'],
  );
  t.same(did, ['follow ipv4']);
  states.set('ipv6', present('ipv6'));
  await follower.follow();
  t.equal(follower.waits, false);
  t.same(did, ['follow ipv4', `publish ${ADDRESS.ipv4}`], 'the source connects again');
});
