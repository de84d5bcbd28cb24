/**
 * The choice of the interface from real links, addresses and routes as iproute2 prints them; and a
 * tunnel on an address that the interface does not have.
 */

import t from 'tap';
import { READY } from '../../../lab/dataplanes/weft.js';
import { ipBatch } from '../../../lab/ip.js';
import { until } from '../../../lab/until.js';
import { DIST } from '../../../lab/world.js';
import type { Family } from '../../../src/control/addresses/family.js';
import type { UnderlayOptions } from '../../../src/control/options.js';
import { makeBed, startWeft } from '../support/bed.js';
import { makePlace, runFlags, startCommand } from '../support/cli.js';
import { answered } from '../support/pings.js';
import { statusOf } from '../support/state.js';

const node = (await makeBed(t, { name: 'iface-flag', nodes: 1, podsPerNode: 0, ipv6: true })).node(1);

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

async function choose(options: Partial<UnderlayOptions>, ...families: Family[]): Promise<string> {
  const program = `${DIST}test/netns/peer/underlay.js`;
  return (
    await node.exec([process.execPath, program, JSON.stringify(options), ...families])
  ).stdout.trimEnd();
}

t.test('an interface offers its permanent global address first and never a deprecated one', async (t) => {
  t.equal(
    await choose({ iface: ['wan0'] }),
    'wan0 198.51.100.10 [198.51.100.10 198.51.100.11 203.0.113.30 169.254.9.1]',
  );
});

t.test('the interface is chosen by address, by regular expression and by public address', async (t) => {
  t.match(await choose({ iface: ['198.51.100.11'] }), /^wan0 198\.51\.100\.11 \[198\.51\.100\.11 198\.51/);
  t.match(await choose({ ifaceRegex: ['^192\\.0\\.2\\.', '^wan'] }), /^wan1 192\.0\.2\.1 /);
  t.match(await choose({ ifaceRegex: ['(?i)WAN1'] }), /^wan1 /);
  t.match(await choose({ publicIp: { ipv4: '192.0.2.1' } }), /^wan1 192\.0\.2\.1 /);
  t.match(
    await choose({ iface: ['wan1'], publicIp: { ipv4: '8.8.8.8' } }),
    /^wan1 8\.8\.8\.8 \[8\.8\.8\.8 192\.0\.2\.1\]$/,
  );
});

t.test('the error lists the interfaces when none matches', async (t) => {
  t.equal(
    await choose({ iface: ['eth7', 'bare'], ifaceCanReach: '8.8.8.8' }),
    `Failed to find interface to use that matches the interfaces and/or regexes provided: --iface eth7: no interface has this name or address; --iface bare: failed to find IPv4 address for interface bare; give it one, or name another interface with --iface; --iface-can-reach 8.8.8.8: ip route get 8.8.8.8: RTNETLINK answers: Network is unreachable (interfaces: lo:[], cni0:[10.244.1.1], ${node.iface}:[192.168.77.1], wan0:[198.51.100.10 198.51.100.11 203.0.113.30 169.254.9.1], wan1:[192.0.2.1], bare:[])`,
  );
  t.match(
    await choose({}),
    /^Failed to find any valid interface to use: unable to find default route; .*interfaces: lo/,
  );
  t.match(
    await choose({ publicIp: { ipv4: '8.8.8.8' } }),
    /^Failed to find any valid interface to use: .*--public-ip .*wan1/,
  );
});

t.test('--iface-can-reach chooses the interface and source address of the route', async (t) => {
  await ipBatch(node.netns, ['route add 8.8.8.0/24 via 198.51.100.1 src 198.51.100.11']);
  t.match(await choose({ ifaceCanReach: '8.8.8.8' }), /^wan0 198\.51\.100\.11 /);
  t.match(await choose({ ifaceCanReach: '198.51.100.11' }), /^wan0 198\.51\.100\.11 /, 'its own');
});

t.test('the default route with the least metric wins, and its first next hop', async (t) => {
  await ipBatch(node.netns, ['route add default via 198.51.100.1 metric 200']);
  t.match(await choose({}), /^wan0 198/);
  await ipBatch(node.netns, ['route add default metric 100 nexthop via 192.0.2.9 nexthop via 198.51.100.1']);
  t.match(await choose({}), /^wan1 192\.0\.2\.1 /);
});

t.test('a default route without a device chooses no interface', async (t) => {
  await ipBatch(node.netns, ['address add 2001:db8::1/64 dev wan1 nodad']);
  await node.exec([...'ip -6 route add unreachable default dev lo metric 50'.split(' ')]);
  t.match(await choose({}, 'ipv6'), /unable to find default v6 route; name the interface with --iface/);
  await node.exec([...'ip -6 route add default via 2001:db8::9 metric 100'.split(' ')]);
  t.match(await choose({}, 'ipv6'), /^wan1 2001:db8::1 /);
});

t.test('nodes with routed addresses on lo, as in a BGP fabric,', async (t) => {
  const lab = await makeBed(t, { name: 'routed' });
  const [one, two] = [lab.node(1), lab.node(2)];
  for (const [of, peer] of [
    [one, two],
    [two, one],
  ] as const) {
    await ipBatch(of.netns, [
      `address add 10.99.0.${of.index}/32 dev lo`,
      `route add 10.99.0.${peer.index}/32 via ${peer.address} src 10.99.0.${of.index}`,
    ]);
  }
  const leases = lab.nodes.map((of) => ({ ...of.lease(), PublicIP: `10.99.0.${of.index}` }));
  const first = await startWeft(t, one, { leases, flags: ['--public-ip', '10.99.0.1'] });
  const place = await makePlace(two, { leases });
  const second = startCommand(t, two, runFlags(place, undefined, '--iface-can-reach', '10.99.0.1'));
  await second.waitFor(READY);

  await t.test('send from and receive on the lo addresses, for any interface of the tunnel', async (t) => {
    await answered(t, lab.pod(1), lab.pod(2).address);
    await answered(t, lab.pod(2), lab.pod(1).address);
    const { underlay } = await statusOf(place);
    t.match(underlay, { interface: two.iface, publicIP: '10.99.0.2' });
  });

  await t.test('keep running while the addresses exist', async (t) => {
    for (const [of, weft] of [
      [one, first],
      [two, place],
    ] as const) {
      await ipBatch(of.netns, ['link set flannel.1 mtu 1300']);
      await until('a check', async () => (await statusOf(weft)).repairs.mtu === 1);
    }
    await ipBatch(two.netns, ['address delete 10.99.0.2/32 dev lo']);
    await second.waitFor(/waiting for the underlay: /);
    await ipBatch(two.netns, [
      'address add 10.99.0.2/32 dev lo',
      `route replace 10.99.0.1/32 via ${one.address} src 10.99.0.2`,
    ]);
    await second.waitFor(/the underlay is present: /);
    await answered(t, lab.pod(1), lab.pod(2).address);
  });
});
