import t, { type Test } from 'tap';
import {
  configureDevice,
  DeviceGone,
  type DeviceState,
  reconfigureDevice,
  refuseExisting,
  refuseRival,
  repairDevice,
} from '../../../../src/control/kernel/device.js';
import type { Link } from '../../../../src/control/kernel/links.js';
import type { LinkState } from '../../../../src/control/kernel/snapshot.js';
import { FakeIp } from '../../../support/fake-ip.js';
import { mentions, refusal } from '../../../support/user-error.js';

const NO_ADDRESSES = { usable: { ipv4: [], ipv6: [] }, tentative: [], assigned: [] };

function link(name: string, kind: string | undefined, data: Record<string, unknown> = {}): Link {
  return {
    index: 5,
    name,
    mac: '02:00:00:00:00:01',
    mtu: 1450,
    kind,
    data,
    ethernet: true,
    up: true,
    carrier: true,
    alias: undefined,
    master: undefined,
    ...NO_ADDRESSES,
  };
}

t.test('refuseExisting accepts a free name and names that only resemble it', async (t) => {
  refuseExisting([link('flannel.10', 'vxlan'), link('flannel', 'tun'), link('eth0', undefined)], 'flannel.1');
  t.pass('nothing was thrown');
});

t.test('refuseExisting names the kind of the device and the command that removes it', async (t) => {
  for (const [existing, says] of [
    [
      link('flannel.1', 'vxlan', { id: 1, port: 8472 }),
      [
        'kernel vxlan device (VNI 1, UDP port 8472)',
        '--adopt',
        'or remove the device: ip link delete flannel.1',
      ],
    ],
    [link('flannel.1', 'tun'), ['tun/tap device of another process', 'ip link delete flannel.1']],
    [link('flannel.1', 'veth'), ['a veth device', 'ip link delete flannel.1']],
    [link('flannel.1', undefined), ['a physical device', 'remove or rename it']],
  ] as [Link, string[]][]) {
    const message = await refusal(t, () => refuseExisting([link('eth0', undefined), existing], 'flannel.1'));
    mentions(t, message, 'flannel.1 exists: ', ...says);
  }
});

const NETWORK = { base: 0x0af40000, prefixLength: 16 };
const UDP_DEVICES = /^flannel\d+$/;

t.test('refuseRival refuses a device of another backend with an address of the same network', async (t) => {
  const rival = { ...link('flannel0', 'tun'), usable: { ipv4: [0xc0a80101, 0x0af40100], ipv6: [] } };
  const message = await refusal(t, () => refuseRival([link('eth0', undefined), rival], UDP_DEVICES, NETWORK));
  mentions(
    t,
    message,
    'flannel0 carries 10.244.0.0/16 already: it is a tun/tap device',
    'ip link delete flannel0',
  );
});

t.test('refuseRival does not offer --adopt for a rival vxlan device', async (t) => {
  const rival = {
    ...link('flannel.1', 'vxlan', { id: 1, port: 8472 }),
    usable: { ipv4: [0x0af40100], ipv6: [] },
  };
  const message = await refusal(t, () => refuseRival([rival], /^flannel\.\d+$/, NETWORK));
  mentions(
    t,
    message,
    'flannel.1 carries 10.244.0.0/16 already: it is a kernel vxlan device',
    'stop flanneld, then remove the device: ip link delete flannel.1',
  );
  t.notMatch(message, '--adopt');
});

t.test('refuseRival accepts devices of another network, without address or with another name', async (t) => {
  const usable = { ipv4: [0x0af40100], ipv6: [] };
  refuseRival(
    [
      { ...link('flannel0', 'tun'), usable: { ipv4: [0x0af50100], ipv6: [] } },
      link('flannel0', 'tun'),
      { ...link('flannel.1', 'vxlan'), usable },
      { ...link('cni0', 'bridge'), usable },
    ],
    UDP_DEVICES,
    NETWORK,
  );
  t.pass('nothing was thrown');
});

const BEFORE: DeviceState = {
  name: 'flannel.1',
  mac: '02:00:00:00:00:01',
  mtu: 1450,
  subnet: { base: 0x0af40100, prefixLength: 24 },
};

async function commands(t: Test, after: Partial<DeviceState>): Promise<string[]> {
  const ip = FakeIp.install(t);
  await reconfigureDevice(BEFORE, { ...BEFORE, ...after });
  return ip.taken();
}

t.test('configureDevice sets no MAC on a device without MAC', async (t) => {
  const ip = FakeIp.install(t);
  ip.answer('-details address show', [{ ifindex: 5, ifname: 'weft-no-dev0', mtu: 1472, flags: ['UP'] }]);
  await configureDevice({ ...BEFORE, name: 'weft-no-dev0', mac: undefined, mtu: 1472 });
  const [first = '', ...rest] = ip.taken();
  t.match(first, /^link set dev weft-no-dev0 mtu 1472 txqueuelen \d+ alias weft$/);
  t.same(rest, ['address replace 10.244.1.0/32 dev weft-no-dev0', 'link set dev weft-no-dev0 up']);
});

t.test('reconfigureDevice sets a new MAC', async (t) => {
  t.same(await commands(t, { mac: '02:00:00:00:00:02' }), [
    'link set dev flannel.1 address 02:00:00:00:00:02',
  ]);
});

t.test('reconfigureDevice adds the new address before it deletes the old one', async (t) => {
  t.same(await commands(t, { subnet: { base: 0x0af40200, prefixLength: 24 } }), [
    'address replace 10.244.2.0/32 dev flannel.1',
    'address delete 10.244.1.0/32 dev flannel.1',
  ]);
});

t.test('reconfigureDevice ignores another prefix length under the same base', async (t) => {
  t.same(await commands(t, { subnet: { base: 0x0af40100, prefixLength: 25 } }), []);
});

const LINK: LinkState = {
  index: 5,
  name: 'flannel.1',
  alias: 'weft',
  master: undefined,
  mac: '02:00:00:00:00:01',
  mtu: 1450,
  up: true,
  assigned: [{ address: 0x0af40100, prefixLength: 32 }],
};
const POD_NETWORK = { base: 0x0af40000, prefixLength: 16 };

async function repaired(t: Test, link: Partial<LinkState>): Promise<unknown[]> {
  const ip = FakeIp.install(t);
  const repairs = await repairDevice(BEFORE, 5, POD_NETWORK, [{ ...LINK, ...link }], [0xc0a84d01]);
  return [repairs, ip.taken()];
}

t.test('repairDevice changes nothing on a device without drift', async (t) => {
  t.same(await repaired(t, {}), [{}, []]);
});

t.test('repairDevice restores MAC, MTU, address and link state, and counts each', async (t) => {
  t.same(await repaired(t, { mac: '02:00:00:00:00:99', mtu: 1500, up: false, assigned: [] }), [
    { mac: 1, mtu: 1, address: 1, link: 1 },
    [
      'link set dev flannel.1 address 02:00:00:00:00:01',
      'link set dev flannel.1 mtu 1450',
      'address replace 10.244.1.0/32 dev flannel.1',
      'link set dev flannel.1 up',
    ],
  ]);
});

t.test('repairDevice takes the device out of a bridge, and restores its alias', async (t) => {
  t.same(await repaired(t, { master: 'br0', alias: undefined }), [
    { master: 1, alias: 1 },
    ['link set dev flannel.1 nomaster', 'link set dev flannel.1 alias weft'],
  ]);
});

t.test('repairDevice removes other addresses of the pod network and keeps the rest', async (t) => {
  const assigned = [
    ...LINK.assigned,
    { address: 0x0af40700, prefixLength: 32 },
    { address: 0xc0a80001, prefixLength: 24 },
  ];
  t.same(await repaired(t, { assigned }), [{ address: 1 }, ['address delete 10.244.7.0/32 dev flannel.1']]);
});

t.test('repairDevice removes addresses whose prefix contains an address of the underlay', async (t) => {
  const assigned = [
    ...LINK.assigned,
    { address: 0xc0a84d32, prefixLength: 24 },
    { address: 0xc0a84d01, prefixLength: 32 },
    { address: 0xa9fe0909, prefixLength: 16 },
  ];
  t.same(await repaired(t, { assigned }), [
    { address: 2 },
    ['address delete 192.168.77.50/24 dev flannel.1', 'address delete 192.168.77.1/32 dev flannel.1'],
  ]);
});

t.test('repairDevice reports a missing device, and one whose index differs, as gone', async (t) => {
  FakeIp.install(t);
  for (const [index, links] of [
    [5, []],
    [4, [LINK]],
    [undefined, [LINK]],
  ] as const) {
    const error = await repairDevice(BEFORE, index, POD_NETWORK, links, []).catch(
      (reason: unknown) => reason,
    );
    t.ok(error instanceof DeviceGone, `${error}`);
  }
});
