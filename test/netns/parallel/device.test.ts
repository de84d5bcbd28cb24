/** What `weft run` sets up for lease and net-conf: device, address, neighbours, routes, subnet.env. */

import { readFile, stat } from 'node:fs/promises';
import t from 'tap';
import { READY } from '../../../lab/dataplanes/weft.js';
import type { Lease } from '../../../lab/leases.js';
import { makeBed, startWeft, startWefts } from '../support/bed.js';
import { makePlace, runFlags, startCommand } from '../support/cli.js';
import { answered } from '../support/pings.js';
import { deviceOf, neighboursOf, routesOf, settled, stateFor, statusOf } from '../support/state.js';

t.test("weft run with leases that have MACs and flannel's net-conf", async (t) => {
  const lab = await makeBed(t, { name: 'device', nodes: 3 });
  const node = lab.node(1);
  const weft = await startWeft(t, node);

  await t.test('the device is a TAP with the MAC, base address and MTU that flannel gives it', async (t) => {
    t.strictSame(await deviceOf(node), {
      kind: 'tun tap',
      mac: '02:00:00:00:00:01',
      mtu: 1450,
      up: true,
      addresses: ['10.244.1.0/32 global'],
    });
  });

  await t.test('every peer has a permanent neighbour and an onlink route, word for word', async (t) => {
    t.strictSame(await neighboursOf(node), [
      '10.244.2.0 lladdr 02:00:00:00:00:02 PERMANENT',
      '10.244.3.0 lladdr 02:00:00:00:00:03 PERMANENT',
    ]);
    t.strictSame(await routesOf(node), [
      '10.244.2.0/24 via 10.244.2.0 dev flannel.1 onlink',
      '10.244.3.0/24 via 10.244.3.0 dev flannel.1 onlink',
    ]);
  });

  await t.test('weft status reports the same device and peers', async (t) => {
    t.strictSame(await settled(node, weft, node.peers()), stateFor(node.peers()));
    t.match(await weft.status(), {
      backend: { type: 'vxlan', vni: 1, port: 8472 },
      device: {
        name: 'flannel.1',
        mac: '02:00:00:00:00:01',
        mtu: 1450,
        address: '10.244.1.0/32',
        up: true,
      },
      underlay: { interface: 'eth0', publicIP: '192.168.77.1', mtu: 1500 },
      lease: { subnet: '10.244.1.0/24', publicIP: '192.168.77.1', vtepMAC: '02:00:00:00:00:01' },
      leaseSource: { refused: null },
    });
  });
});

t.test("subnet.env equals flannel's to the byte and has mode 0644 under any umask", async (t) => {
  const lab = await makeBed(t, { name: 'subnetenv' });
  const node = lab.node(1);
  const place = await makePlace(node);
  const weft = startCommand(t, node, runFlags(place, node.iface), {
    under: ['sh', '-c', 'umask 077; exec "$@"', 'sh'],
  });
  await weft.waitFor(READY);
  t.equal(
    await readFile(place.subnetFile, 'utf8'),
    [
      'FLANNEL_NETWORK=10.244.0.0/16',
      'FLANNEL_SUBNET=10.244.1.1/24',
      'FLANNEL_MTU=1450',
      'FLANNEL_IPMASQ=false',
      '',
    ].join('\n'),
  );
  t.equal((await stat(place.subnetFile)).mode & 0o7777, 0o644);
});

t.test('net-conf keys in another case set VNI, port and MTU', async (t) => {
  const lab = await makeBed(t, { name: 'netconf' });
  const netConf = {
    network: '10.244.0.0/16',
    SUBNETLEN: 24,
    backEnd: { type: 'VXLAN', vni: 4242, PORT: 4789, mtu: 1400 },
  };
  const places = await Promise.all(lab.nodes.map((node) => makePlace(node, { netConf })));
  for (const [index, node] of lab.nodes.entries()) {
    const place = places[index];
    await startCommand(t, node, runFlags(place, node.iface)).waitFor(READY);
  }
  const node = lab.node(1);
  t.strictSame(await deviceOf(node, 'flannel.4242'), {
    kind: 'tun tap',
    mac: '02:00:00:00:00:01',
    mtu: 1350,
    up: true,
    addresses: ['10.244.1.0/32 global'],
  });
  t.strictSame(await routesOf(node, 'flannel.4242'), [
    '10.244.2.0/24 via 10.244.2.0 dev flannel.4242 onlink',
  ]);
  const { stdout } = await node.exec(['ss', '-Hlun']);
  t.match(stdout, /192\.168\.77\.1:4789\s/, 'listens on the port');
  t.match(await readFile(places[0].subnetFile, 'utf8'), /^FLANNEL_MTU=1350$/m);
  await answered(t, lab.pod(1), lab.pod(2).address, 'pods reach each other');
});

t.test('a net-conf without Backend means vxlan with VNI 1 and port 8472', async (t) => {
  const lab = await makeBed(t, { name: 'nobackend' });
  const node = lab.node(1);
  const place = await makePlace(node, { netConf: { Network: '10.244.0.0/16' } });
  await startCommand(t, node, runFlags(place, node.iface)).waitFor(READY);
  t.match(await statusOf(place), { backend: { type: 'vxlan', vni: 1, port: 8472 }, device: { mtu: 1450 } });
});

t.test('the interface is chosen by its address, or by the default route when none is named', async (t) => {
  const lab = await makeBed(t, { name: 'iface' });
  const byAddress = lab.node(1);
  const place = await makePlace(byAddress);
  await startCommand(t, byAddress, runFlags(place, byAddress.address)).waitFor(READY);
  t.equal((await statusOf(place)).underlay.interface, 'ua', 'by address');
  const byRoute = lab.node(2);
  await byRoute.exec(['ip', 'route', 'add', 'default', 'via', '192.168.77.1']);
  const other = await makePlace(byRoute);
  const flags = runFlags(other, '').filter((flag) => flag !== '--iface' && flag !== '');
  await startCommand(t, byRoute, flags).waitFor(READY);
  t.equal((await statusOf(other)).underlay.interface, 'ub', 'by the default route');
});

t.test('leases with Subnet and PublicIP alone suffice for a cluster of Weft nodes', async (t) => {
  const lab = await makeBed(t, { name: 'derived' });
  const leases: Lease[] = lab.leases().map(({ Subnet, PublicIP }) => ({ Subnet, PublicIP }));
  await startWefts(t, lab.nodes, { leases });
  const [one, two] = await Promise.all(lab.nodes.map((node) => deviceOf(node)));
  t.match(one.mac, /^[0-9a-f][26ae]:/, 'Weft chooses a locally administered unicast MAC');
  t.not(one.mac, two.mac, 'every node has its own MAC');
  t.strictSame(await neighboursOf(lab.node(2)), [`10.244.1.0 lladdr ${one.mac} PERMANENT`]);
  await answered(t, lab.pod(1), lab.pod(2).address, 'pods reach each other');
});
