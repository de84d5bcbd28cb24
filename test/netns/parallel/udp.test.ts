/** Backend udp between Weft nodes: the device, traffic between pods, and changing leases. */

import { readFile } from 'node:fs/promises';
import t from 'tap';
import { exec } from '../../../lab/exec.js';
import { ipBatch } from '../../../lab/ip.js';
import { type Lease, madeUpLease, udpConf, writeLeases } from '../../../lab/leases.js';
import { ping } from '../../../lab/traffic/ping.js';
import { until } from '../../../lab/until.js';
import { atLevel, makeBed, startWeft, startWefts, USERSPACE_LEVELS } from '../support/bed.js';
import { exchange, manyFlows, superpacketsUsed } from '../support/exchange.js';
import { damageIn, refusedBy } from '../support/harm.js';
import { answered, startFlood } from '../support/pings.js';
import {
  deviceOf,
  neighboursOf,
  risen,
  routesOf,
  settledUdp,
  statusOf,
  udpPeers,
  udpPeersFor,
} from '../support/state.js';
import { Stopwatch } from '../support/stopwatch.js';
import { UDP_DEVICE } from '../support/udp-bed.js';

/** Outer IPv4 and UDP headers. */
const TUNNEL_HEADERS = 28;
/** The time that Weft promises (docs/lease-file.md). */
const APPLIED_MS = 1000;

t.test('weft run with backend udp', async (t) => {
  const lab = await makeBed(t, { name: 'udpdevice', nodes: 3 });
  const node = lab.node(1);
  const weft = await startWeft(t, node, { netConf: udpConf() });

  await t.test('the device is a TUN with the base address and MTU that flannel gives it', async (t) => {
    t.strictSame(await deviceOf(node, UDP_DEVICE), {
      kind: 'tun tun',
      mac: undefined,
      mtu: 1472,
      up: true,
      addresses: ['10.244.1.0/32 global'],
    });
  });

  await t.test('the kernel has one route and no neighbour', async (t) => {
    t.strictSame(await routesOf(node, UDP_DEVICE), ['10.244.0.0/16 dev flannel0']);
    t.strictSame(await neighboursOf(node, UDP_DEVICE), []);
  });

  await t.test("Weft listens on flannel's port at the interface's address", async (t) => {
    const { stdout } = await node.exec(['ss', '-Hlun']);
    t.match(stdout, /192\.168\.77\.1:8285\s/);
  });

  await t.test("subnet.env equals flannel's to the byte", async (t) => {
    t.equal(
      await readFile(weft.subnetFile, 'utf8'),
      [
        'FLANNEL_NETWORK=10.244.0.0/16',
        'FLANNEL_SUBNET=10.244.1.1/24',
        'FLANNEL_MTU=1472',
        'FLANNEL_IPMASQ=false',
        '',
      ].join('\n'),
    );
  });

  await t.test('every other lease is a peer, also one of a vxlan node', async (t) => {
    t.strictSame(await udpPeers(weft), udpPeersFor(node.peers()));
  });

  await t.test('status reports this backend and nothing of vxlan', async (t) => {
    const { backend, device, lease, peerCheck, learned } = await statusOf(weft);
    t.strictSame(
      { backend, device, lease, peerCheck, learned },
      {
        backend: { type: 'udp', port: 8285 },
        device: { name: 'flannel0', mtu: 1472, address: '10.244.1.0/32', up: true },
        lease: { subnet: '10.244.1.0/24', publicIP: '192.168.77.1' },
        peerCheck: 'strict',
        learned: null,
      },
    );
    const text = await weft.statusText();
    t.match(text, /^ {2}backend +udp, UDP port 8285$/m);
    t.match(text, /^ {2}10\.244\.3\.0\/24 +192\.168\.77\.3 .* userspace$/m);
  });
});

for (const level of USERSPACE_LEVELS) {
  t.test(`traffic between pods over backend udp at offload level ${level}`, async (t) => {
    const lab = await makeBed(t, { name: `udp${level}`, overhead: TUNNEL_HEADERS, mode: 'plain' });
    const wefts = await startWefts(t, lab.nodes, { netConf: udpConf(), ...atLevel(level) });
    const [here, there] = [lab.pod(1), lab.pod(2)];
    const { podMtu } = lab.node(1);
    t.equal(podMtu, 1472);
    await exchange(t, here, there, podMtu);

    await t.test('a packet larger than the MTU is refused with DF', async (t) => {
      const { received } = await ping(here.netns, there.address, {
        count: 1,
        wait: 0.1,
        size: podMtu - 28 + 1,
        dontFragment: true,
      });
      t.equal(received, 0);
    });

    await t.test('a packet larger than the MTU passes in fragments', async (t) => {
      await answered(t, here, there.address, '8000 bytes of payload', { size: 8000 });
    });

    await t.test('no network stack on the path counts a broken packet', async (t) => {
      for (const weft of wefts) t.strictSame(await refusedBy(weft), {}, `${weft.node.name} refused nothing`);
      t.strictSame(await damageIn(lab), {}, 'nor does a kernel');
    });

    await t.test(`packets travel ${level === 'gso' ? 'in superpackets' : 'one by one'}`, async (t) => {
      const [first, second] = wefts;
      await superpacketsUsed(t, level, first, second);
      await superpacketsUsed(t, level, second, first);
    });
  });
}

t.test('two workers share the traffic of backend udp', async (t) => {
  const lab = await makeBed(t, { name: 'udpworkers' });
  const weft = await startWeft(t, lab.node(1), { netConf: udpConf(), flags: ['--workers', '2'] });
  await startWeft(t, lab.node(2), { netConf: udpConf() });
  await manyFlows(t, lab.pod(1), lab.pod(2));
  t.strictSame(await refusedBy(weft), {}, 'every worker knows the routes');
  t.strictSame(await weft.end(), { code: 0, signal: null });
});

t.test('net-conf keys in another case set port and MTU', async (t) => {
  const lab = await makeBed(t, { name: 'udpconf' });
  // Keys in another case, and one that only vxlan has.
  const conf = { Network: '10.244.0.0/16', Backend: { Type: 'UDP', port: 7890, mtu: 1400, VNI: 1 } };
  const [weft] = await startWefts(t, lab.nodes, { netConf: conf });
  t.match(weft.process.stderr, /^W.*\] net-conf Backend\.VNI: .*vxlan/m);
  t.equal((await deviceOf(lab.node(1), UDP_DEVICE)).mtu, 1372);
  const { stdout } = await lab.node(1).exec(['ss', '-Hlun']);
  t.match(stdout, /192\.168\.77\.1:7890\s/);
  await answered(t, lab.pod(1), lab.pod(2).address);
});

t.test('backend udp applies added, changed and removed peers while traffic flows', async (t) => {
  const lab = await makeBed(t, { name: 'udpleases', nodes: 3 });
  const [one, two, three] = lab.leases();
  const netConf = udpConf();
  const weft = await startWeft(t, lab.node(1), { netConf, leases: [one, two] });
  const other = await startWeft(t, lab.node(2), { netConf });
  const third = await startWeft(t, lab.node(3), { netConf });
  const reached = async (address: string) =>
    (await ping(lab.pod(1).netns, address, { count: 1, wait: 0.2 })).received === 1;
  const edited = async (peers: readonly Lease[]) => {
    await writeLeases(weft.leaseFile, [one, ...peers]);
    const stopwatch = new Stopwatch();
    t.strictSame(await settledUdp(weft, peers), udpPeersFor(peers), 'exactly the peers of the leases');
    stopwatch.stop(t, APPLIED_MS, 'applied');
  };
  const flood = startFlood(t, lab.pod(1), lab.pod(2).address);
  t.equal(await reached(lab.pod(3).address), false);

  await t.test('a peer is added', async (t) => {
    await edited([two, three]);
    await answered(t, lab.pod(1), lab.pod(3).address);
  });

  await t.test('a peer moves to another public IP', async (t) => {
    const moved = { ...three, PublicIP: '192.168.77.33' };
    await third.end();
    await ipBatch(lab.node(3).netns, ['address add 192.168.77.33/24 dev eth0']);
    await startWeft(t, lab.node(3), { netConf, leases: [one, two, moved] });
    await edited([two, moved]);
    await answered(t, lab.pod(1), lab.pod(3).address);
  });

  await t.test('a faulty lease file changes nothing', async (t) => {
    const before = await udpPeers(weft);
    await writeLeases(weft.leaseFile, [one, two, { Subnet: '10.244.2.128/25', PublicIP: '192.168.77.9' }]);
    await until('the refusal', async () => (await statusOf(weft)).leaseSource.refused !== null);
    t.match(
      (await statusOf(weft)).leaseSource.refused,
      /leases\[2\]\.Subnet .*overlaps 10\.244\.2\.0\/24 of leases\[1\]/,
    );
    t.strictSame(await udpPeers(weft), before);
  });

  await t.test('a peer is removed', async (t) => {
    await edited([two]);
    t.equal(await reached(lab.pod(3).address), false);
  });

  await t.test('no packet to the unchanged peer is lost', async (t) => {
    const { answered: pings, missing } = await flood.end();
    t.ok(pings > 100, `${pings} pings answered`);
    t.strictSame(missing, []);
  });

  await t.test('a new own subnet changes device, subnet.env, peers and ICMP errors', async (t) => {
    const moved = { ...one, Subnet: '10.244.101.0/24' };
    await writeLeases(weft.leaseFile, [moved, two]);
    await writeLeases(other.leaseFile, [moved, two]);
    t.strictSame(await settledUdp(other, [moved]), udpPeersFor([moved]), 'the peer follows');
    await until('subnet.env follows', async () =>
      /^FLANNEL_SUBNET=10\.244\.101\.1\/24$/m.test(await readFile(weft.subnetFile, 'utf8')),
    );
    t.strictSame((await deviceOf(lab.node(1), UDP_DEVICE)).addresses, ['10.244.101.0/32 global']);
    t.strictSame(
      await routesOf(lab.node(1), UDP_DEVICE),
      ['10.244.0.0/16 dev flannel0'],
      'the route does not change',
    );
    await answered(t, lab.node(2), '10.244.101.0', 'the peer reaches it');
    const argv = ['sh', '-c', 'ping -n -c 1 -W 1 10.244.99.1; [ $? -eq 1 ]'];
    const { stdout } = await exec(argv, { netns: lab.pod(1).netns });
    t.match(stdout, /^From 10\.244\.101\.0 icmp_seq=1 Destination Net Unreachable$/m);
  });
});

t.test('backend udp applies and removes ten thousand leases while traffic flows', async (t) => {
  const lab = await makeBed(t, { name: 'udpscale' });
  const netConf = { ...udpConf(), Network: '10.0.0.0/8' };
  const [weft] = await startWefts(t, lab.nodes, { netConf });
  const real = lab.node(2).lease();
  const many = Array.from({ length: 10_000 }, (_, index) => madeUpLease(index));
  await answered(t, lab.pod(1), lab.pod(2).address);
  const flood = startFlood(t, lab.pod(1), lab.pod(2).address);
  const follow = async (peers: readonly Lease[]) => {
    await writeLeases(weft.leaseFile, [lab.node(1).lease(), ...peers]);
    t.strictSame(await settledUdp(weft, peers, 10_000), udpPeersFor(peers), `${peers.length} peers`);
  };
  await follow([real, ...many]);
  t.strictSame(
    await routesOf(lab.node(1), UDP_DEVICE),
    ['10.0.0.0/8 dev flannel0'],
    'the kernel has one route',
  );
  await answered(t, lab.pod(1), lab.pod(2).address, 'a ping passes');
  const { counters: before } = await statusOf(weft);
  // First, last and one in between: Weft has a route to each, the underlay has none.
  for (const lease of [many[0], many[5000], many[9999]]) {
    const address = lease.Subnet.replace('.0/24', '.7');
    t.equal((await ping(lab.pod(1).netns, address, { count: 1, wait: 0.1 })).received, 0);
  }
  const { tx_drop_unreachable, tx_drop_no_route = 0 } = risen(before, (await statusOf(weft)).counters);
  t.strictSame({ tx_drop_unreachable, tx_drop_no_route }, { tx_drop_unreachable: 3, tx_drop_no_route: 0 });
  await follow([real, ...many.map((_, index) => madeUpLease(index, 1))]);
  await follow([real]);
  const { answered: pings, missing } = await flood.end();
  t.ok(pings > 100, `${pings} pings answered`);
  t.strictSame(missing, [], 'no ping is lost');
});
