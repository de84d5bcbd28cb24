import t, { type Test } from 'tap';
import {
  type DeviceState,
  reconfigureDevice,
  refuseExisting,
} from '../../../../src/control/network/device.js';
import type { Link } from '../../../../src/control/network/links.js';
import { FakeIp } from '../../../support/fake-ip.js';
import { mentions, refusal } from '../../../support/user-error.js';

function link(name: string, kind: string | undefined, data: Record<string, unknown> = {}): Link {
  return { index: 5, name, mac: '02:00:00:00:00:01', mtu: 1450, kind, data, up: true, addresses: [] };
}

t.test('a name that is free, or almost the same, is no obstacle', async (t) => {
  refuseExisting([link('flannel.10', 'vxlan'), link('flannel', 'tun'), link('eth0', undefined)], 'flannel.1');
  t.pass('nothing was thrown');
});

t.test('an existing device is refused with what it is and the command that removes it', async (t) => {
  for (const [existing, says] of [
    [
      link('flannel.1', 'vxlan', { id: 1, port: 8472 }),
      ['kernel vxlan device (VNI 1, UDP port 8472)', 'stop flanneld', 'ip link delete flannel.1'],
    ],
    [link('flannel.1', 'tun'), ['tun/tap device of another process', 'ip link delete flannel.1']],
    [link('flannel.1', 'veth'), ['a veth device', 'ip link delete flannel.1']],
    [link('flannel.1', undefined), ['a physical device', 'remove or rename it']],
  ] as [Link, string[]][]) {
    const message = await refusal(t, () => refuseExisting([link('eth0', undefined), existing], 'flannel.1'));
    mentions(t, message, 'flannel.1 exists: ', ...says);
  }
});

const BEFORE: DeviceState = {
  name: 'flannel.1',
  mac: '02:00:00:00:00:01',
  mtu: 1450,
  subnet: { base: 0x0af40100, prefix: 24 },
};

async function commands(t: Test, after: Partial<DeviceState>): Promise<string[]> {
  const ip = FakeIp.install(t);
  await reconfigureDevice(BEFORE, { ...BEFORE, ...after });
  return ip.taken();
}

t.test('a new MAC is set', async (t) => {
  t.same(await commands(t, { mac: '02:00:00:00:00:02' }), [
    'link set dev flannel.1 address 02:00:00:00:00:02',
  ]);
});

t.test('a new address is there before the old one goes', async (t) => {
  t.same(await commands(t, { subnet: { base: 0x0af40200, prefix: 24 } }), [
    'address replace 10.244.2.0/32 dev flannel.1',
    'address delete 10.244.1.0/32 dev flannel.1',
  ]);
});

t.test('another prefix under the same base changes nothing on the device', async (t) => {
  t.same(await commands(t, { subnet: { base: 0x0af40100, prefix: 25 } }), []);
});
