/** The choice of the interface on real links, addresses and routes: what iproute2 prints is what it is read from. */

import t from 'tap';
import { ipBatch } from '../../lab/ip.js';
import { DIST } from '../../lab/world.js';
import type { UnderlayOptions } from '../../src/control/options.js';
import { makeBed } from './support/bed.js';

const node = (await makeBed(t, { name: 'iface', nodes: 1, podsPerNode: 0 })).node(1);

await ipBatch(node.netns, [
  'link add wan0 type bridge',
  'link add wan1 type bridge',
  'link add bare type bridge',
  'address add 169.254.9.1/16 dev wan0',
  'address add 203.0.113.40/24 dev wan0 valid_lft 3600 preferred_lft 0',
  'address add 203.0.113.30/24 dev wan0 valid_lft 3600 preferred_lft 3600',
  'address add 198.51.100.10/24 dev wan0',
  'address add 198.51.100.11/24 dev wan0',
  'address add 192.0.2.1/24 dev wan1',
  ...['wan0', 'wan1', 'bare'].map((name) => `link set ${name} up`),
]);

async function choose(options: Partial<UnderlayOptions>): Promise<string> {
  const program = `${DIST}test/netns/peer/underlay.js`;
  return (await node.exec([process.execPath, program, JSON.stringify(options)])).stdout.trimEnd();
}

t.test(
  'of an interface, the lasting address of the network comes first, a deprecated one never',
  async (t) => {
    t.equal(
      await choose({ iface: ['wan0'] }),
      'wan0 198.51.100.10 [198.51.100.10 198.51.100.11 203.0.113.30 169.254.9.1]',
    );
  },
);

t.test('by address, regular expression and public address', async (t) => {
  t.match(await choose({ iface: ['198.51.100.11'] }), /^wan0 198\.51\.100\.11 \[198\.51\.100\.11 198\.51/);
  t.match(await choose({ ifaceRegex: ['^192\\.0\\.2\\.', '^wan'] }), /^wan1 192\.0\.2\.1 /);
  t.match(await choose({ ifaceRegex: ['(?i)WAN1'] }), /^wan1 /);
  t.match(await choose({ publicIp: '192.0.2.1' }), /^wan1 192\.0\.2\.1 /);
  t.match(
    await choose({ iface: ['wan1'], publicIp: '8.8.8.8' }),
    /^wan1 8\.8\.8\.8 \[8\.8\.8\.8 192\.0\.2\.1\]$/,
  );
});

t.test('what is there is told when nothing fits', async (t) => {
  t.equal(
    await choose({ iface: ['eth7', 'bare'], ifaceCanReach: '8.8.8.8' }),
    `Failed to find interface to use that matches the interfaces and/or regexes provided: --iface eth7: no interface has this name or address; --iface bare: failed to find IPv4 address for interface bare; give it one, or name another interface with --iface; --iface-can-reach 8.8.8.8: ip route get 8.8.8.8: RTNETLINK answers: Network is unreachable (there is lo:[], cni0:[10.244.1.1], ${node.iface}:[192.168.77.1], wan0:[198.51.100.10 198.51.100.11 203.0.113.30 169.254.9.1], wan1:[192.0.2.1], bare:[])`,
  );
  t.match(
    await choose({}),
    /^Failed to find any valid interface to use: unable to find default route; .*there is lo/,
  );
  t.match(
    await choose({ publicIp: '8.8.8.8' }),
    /^Failed to find any valid interface to use: .*--public-ip .*wan1/,
  );
});

t.test('the interface and source address through which an address is reached', async (t) => {
  await ipBatch(node.netns, ['route add 8.8.8.0/24 via 198.51.100.1 src 198.51.100.11']);
  t.match(await choose({ ifaceCanReach: '8.8.8.8' }), /^wan0 198\.51\.100\.11 /);
});

t.test('the default route of the least metric, and of several next hops the first', async (t) => {
  await ipBatch(node.netns, ['route add default via 198.51.100.1 metric 200']);
  t.match(await choose({}), /^wan0 198/);
  await ipBatch(node.netns, ['route add default metric 100 nexthop via 192.0.2.9 nexthop via 198.51.100.1']);
  t.match(await choose({}), /^wan1 192\.0\.2\.1 /);
});
