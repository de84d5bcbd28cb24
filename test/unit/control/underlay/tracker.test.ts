import t, { type Test } from 'tap';
import { until } from '../../../../lab/until.js';
import type { Family } from '../../../../src/control/addresses/family.js';
import { formatIp } from '../../../../src/control/addresses/ip.js';
import type { UnderlayOptions } from '../../../../src/control/options.js';
import { UnderlayTracker } from '../../../../src/control/underlay/tracker.js';
import { catchLog } from '../../../support/catch-log.js';
import { FakeIp } from '../../../support/fake-ip.js';
import { mentions, refusal } from '../../../support/user-error.js';

interface FakeLink {
  name: string;
  index?: number;
  mtu?: number;
  down?: boolean;
  kind?: string;
  addresses?: readonly string[];
  /** Flags of every address, as `ip` prints them. */
  flags?: object;
}

interface Rig {
  ip: FakeIp;
  log: string[];
  tracker: UnderlayTracker;
  /** Sets the interfaces of the machine. */
  links(...links: readonly FakeLink[]): void;
  /** Returns the state of each family: `eth0 192.168.77.1 MTU 1500`, or the reason. */
  seen(): Promise<string[]>;
}

function rig(
  t: Test,
  given: Partial<UnderlayOptions> = { iface: ['eth0'] },
  families: Family[] = ['ipv4'],
): Rig {
  const log = catchLog(t);
  const ip = FakeIp.install(t);
  const options = { iface: [], ifaceRegex: [], ifaceCanReach: undefined, publicIp: {}, ...given };
  const tracker = new UnderlayTracker(options, families);
  return {
    ip,
    log,
    tracker,
    links: (...links) => ip.answer('-details address show', links.map(asJson)),
    seen: async () =>
      [...(await tracker.observe()).values()].map((state) =>
        state.name === 'absent'
          ? state.reason
          : `${state.link.name} ${formatIp(state.address.address)} MTU ${state.link.mtu}`,
      ),
  };
}

function asJson({ name, index = 3, mtu = 1500, down, kind, addresses = [], flags = {} }: FakeLink): object {
  return {
    ifindex: index,
    ifname: name,
    mtu,
    flags: down ? [] : ['UP'],
    ...(kind && { linkinfo: { info_kind: kind } }),
    addr_info: addresses.map((local) => ({ local, prefixlen: local.includes(':') ? 64 : 24, ...flags })),
  };
}

const ETH0 = { name: 'eth0', addresses: ['192.168.77.1'] };

/** A tracker that has chosen 192.168.77.1 on eth0. */
async function chosenRig(t: Test, given?: Partial<UnderlayOptions>): Promise<Rig> {
  const started = rig(t, given);
  started.links(ETH0);
  await started.tracker.choose();
  return started;
}

t.test('wait logs at once what is missing, and returns once it is there', async (t) => {
  const { tracker, links, log } = rig(t);
  links({ name: 'lo' });
  const waiting = tracker.wait(new AbortController().signal);
  await until('it is logged', () => log.length === 1);
  mentions(t, log[0] ?? '', 'W waiting for the underlay: --iface eth0: no interface has this name');
  t.equal(tracker.notReady, log[0]?.slice(2));
  links({ ...ETH0, down: true });
  await until('the reason is the new one', () => tracker.notReady?.includes('eth0 is down'));
  links(ETH0);
  t.match(await waiting, { link: { name: 'eth0' }, families: { ipv4: { publicIp: 0xc0a84d01 } } });
  t.equal(tracker.notReady, null);
  t.same(log.slice(1), ['I the underlay is present: eth0 with 192.168.77.1, MTU 1500']);
});

t.test('wait refuses what waiting cannot change', async (t) => {
  const { tracker, links } = rig(t, { ifaceRegex: ['('] });
  links(ETH0);
  mentions(t, await refusal(t, () => tracker.wait(AbortSignal.timeout(5000))), 'could not compile');
});

t.test('wait ends with the reason of the signal', async (t) => {
  const { tracker, links } = rig(t);
  links();
  const controller = new AbortController();
  const waiting = tracker.wait(controller.signal);
  controller.abort(new Error('stopped'));
  await t.rejects(waiting, { message: 'stopped' });
});

t.test('the choice stays while its address exists, whatever the rules prefer now', async (t) => {
  const { links, ip, tracker, seen } = rig(t, {});
  links(ETH0);
  ip.answer('-4 route show default', [{ dst: 'default', dev: 'eth0' }]);
  await tracker.choose();
  ip.answer('-4 route show default', [{ dst: 'default', dev: 'wg0' }]);
  links(ETH0, { name: 'wg0', index: 4, addresses: ['10.8.0.1'] });
  t.same(await seen(), ['eth0 192.168.77.1 MTU 1500']);
  links({ name: 'wg0', index: 4, addresses: ['10.8.0.1'] });
  t.same(await seen(), ['wg0 10.8.0.1 MTU 1500']);
});

t.test('a changed address, MTU or interface index is followed', async (t) => {
  const { links, seen, tracker } = await chosenRig(t);
  links({ ...ETH0, mtu: 1400 });
  t.same(await seen(), ['eth0 192.168.77.1 MTU 1400']);
  links({ ...ETH0, addresses: ['192.168.77.1', '192.168.77.99'] });
  t.same(await seen(), ['eth0 192.168.77.1 MTU 1500']);
  links({ ...ETH0, addresses: ['192.168.77.99'] });
  t.same(await seen(), ['eth0 192.168.77.99 MTU 1500']);
  links({ ...ETH0, index: 12, addresses: ['192.168.77.99'] });
  t.match((await tracker.observe()).get('ipv4'), { name: 'present', link: { index: 12 } });
});

for (const [what, state, reason] of [
  ['an interface that is gone', [], 'no interface has this name or address'],
  ['an interface that is down', [{ ...ETH0, down: true }], 'eth0 is down; bring it up'],
  ['an interface without the address', [{ name: 'eth0' }], 'failed to find IPv4 address for interface eth0'],
  [
    'an address on a dummy interface only',
    [{ name: 'eth0' }, { ...ETH0, name: 'kube-ipvs0', kind: 'dummy', index: 5 }],
    'failed to find IPv4 address for interface eth0',
  ],
] as const) {
  t.test(`${what} is absent, until eth0 has its address again`, async (t) => {
    const { links, seen, tracker, log } = await chosenRig(t);
    links(...state);
    mentions(t, (await seen()).join(), reason);
    mentions(t, tracker.notReady ?? '', 'waiting for the underlay', reason);
    await seen();
    t.equal(log.filter((line) => line.startsWith('W')).length, 1, 'it is logged once');
    links(ETH0);
    t.same(await seen(), ['eth0 192.168.77.1 MTU 1500']);
    t.equal(tracker.notReady, null);
  });
}

t.test('an address on a dummy interface is found by no rule but the name of the interface', async (t) => {
  const dummy = { ...ETH0, name: 'kube-ipvs0', kind: 'dummy' };
  for (const given of [
    { iface: ['192.168.77.1'] },
    { ifaceRegex: ['^192'] },
    { publicIp: { ipv4: '192.168.77.1' } },
  ]) {
    const { tracker, links } = rig(t, given);
    links(dummy);
    await t.rejects(tracker.choose(), { name: 'Error', message: /^Failed to find/ });
  }
  const { tracker, links } = rig(t, { iface: ['kube-ipvs0'] });
  links(dummy);
  t.match(await tracker.choose(), { link: { name: 'kube-ipvs0' } });
});

t.test('an address that moved to another interface is followed there, if the rules find it', async (t) => {
  const moved = [{ name: 'eth0' }, { ...ETH0, name: 'br0', index: 8 }];
  const byAddress = await chosenRig(t, { ifaceRegex: ['^192\\.168\\.'] });
  byAddress.links(...moved);
  t.same(await byAddress.seen(), ['br0 192.168.77.1 MTU 1500']);
  const byName = await chosenRig(t, { iface: ['eth0'] });
  byName.links(...moved);
  t.same(await byName.seen(), ['eth0 192.168.77.1 MTU 1500'], 'it still receives there');
});

t.test('a deprecated address is replaced by a preferred one, and stays without one', async (t) => {
  const { tracker, ip, links, seen } = rig(t, { iface: ['eth0'] }, ['ipv6']);
  links({ name: 'eth0', addresses: ['fd00::1'] });
  await tracker.choose();
  links({ name: 'eth0', addresses: ['fd00::1'], flags: { deprecated: true } });
  t.same(await seen(), ['eth0 fd00::1 MTU 1500']);
  const info = [
    { local: 'fd00::1', prefixlen: 64, deprecated: true },
    { local: 'fd01::1', prefixlen: 64 },
  ];
  ip.answer('-details address show', [{ ...asJson({ name: 'eth0' }), addr_info: info }]);
  t.same(await seen(), ['eth0 fd01::1 MTU 1500']);
});

t.test(
  'a public IP that the node had and loses is absent, though the interface has its address',
  async (t) => {
    const { links, tracker, seen } = rig(t, { iface: ['eth0'], publicIp: { ipv4: '10.99.0.1' } });
    links(ETH0, { name: 'lo', index: 1, addresses: ['10.99.0.1'] });
    await tracker.choose();
    links(ETH0, { name: 'lo', index: 1 });
    t.same(await seen(), ['10.99.0.1 is no longer an address of this node']);
    links(ETH0, { name: 'lo', index: 1, addresses: ['10.99.0.1'] });
    t.same(await seen(), ['eth0 192.168.77.1 MTU 1500']);
  },
);

t.test('a public IP behind a NAT is never an address of the node', async (t) => {
  const { links, tracker, seen } = rig(t, { iface: ['eth0'], publicIp: { ipv4: '203.0.113.5' } });
  links(ETH0);
  await tracker.choose();
  t.same(await seen(), ['eth0 192.168.77.1 MTU 1500']);
});

t.test('a default route through an overlay device hides no other one', async (t) => {
  const { links, ip, tracker } = rig(t, {});
  links(ETH0, { name: 'flannel.1', index: 9, addresses: ['10.244.1.0'] });
  ip.answer('-4 route show default', [
    { dst: 'default', dev: 'flannel.1' },
    { dst: 'default', dev: 'eth0', metric: 100 },
  ]);
  t.match(await tracker.choose(), { link: { name: 'eth0' } });
});

t.test('an IPv6 address is absent during duplicate address detection', async (t) => {
  const { tracker, links, seen } = rig(t, { iface: ['eth0'] }, ['ipv6']);
  links({ name: 'eth0', addresses: ['fd00::1'] });
  await tracker.choose();
  for (const flags of [{ tentative: true }, { tentative: true, dadfailed: true }]) {
    links({ name: 'eth0', addresses: ['fd00::1'], flags });
    t.match(await seen(), [/tentative|failed to find IPv6 address/]);
  }
  links({ name: 'eth0', addresses: ['fd00::1'] });
  t.same(await seen(), ['eth0 fd00::1 MTU 1500']);
});

t.test('the families of a dual-stack node are absent and present on their own', async (t) => {
  const { tracker, links, seen, log } = rig(t, { iface: ['eth0'] }, ['ipv4', 'ipv6']);
  links({ name: 'eth0', addresses: ['192.168.77.1', 'fd00::1'] });
  await tracker.choose();
  links({ name: 'eth0', addresses: ['192.168.77.1'] });
  t.match(await seen(), ['eth0 192.168.77.1 MTU 1500', /failed to find IPv6 address/]);
  mentions(t, log.join(), 'waiting for the underlay (IPv6)');
  links({ name: 'lo' });
  await seen();
  links({ name: 'eth0', addresses: ['192.168.77.7'] });
  t.match(await seen(), ['eth0 192.168.77.7 MTU 1500', /failed to find IPv6 address/]);
  links({ name: 'eth0', addresses: ['192.168.77.7', 'fd00::2'] });
  t.same(await seen(), ['eth0 192.168.77.7 MTU 1500', 'eth0 fd00::2 MTU 1500']);
});

t.test('affects matches events of the chosen interface and address', async (t) => {
  const { tracker } = await chosenRig(t);
  const link = (index: number, name: string) => tracker.affects({ kind: 'link', index, name });
  t.equal(link(3, 'renamed'), true);
  t.equal(link(99, 'eth0'), true, 'the interface was created again');
  t.equal(link(99, 'veth0a1b'), false, 'a veth whose name contains eth0');
  const address = (index: number, text: number) => tracker.affects({ kind: 'address', index, address: text });
  t.equal(address(3, 1), true);
  t.equal(address(99, 0xc0a84d01), true);
  t.equal(address(99, 0xc0a84d0a), false);
  const route = { kind: 'route', destination: 'default', device: 'eth9' } as const;
  t.equal(tracker.affects(route), false);
});

t.test('affects matches every link, address and default route while a family is absent', async (t) => {
  const { tracker, links, seen } = await chosenRig(t);
  links({ name: 'lo' });
  await seen();
  t.equal(tracker.affects({ kind: 'link', index: 99, name: 'eth9' }), true);
  t.equal(tracker.affects({ kind: 'address', index: 99, address: 1 }), true);
  t.equal(tracker.affects({ kind: 'route', destination: 'default', device: 'eth9' }), true);
  t.equal(tracker.affects({ kind: 'rule' }), false);
});
