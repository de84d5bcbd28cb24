/**
 * `weft doctor --peers` where a router is between the nodes, or a firewall of this node is in the way.
 *
 *     node1 ua 192.168.77.1/32 ── r1 router r2 ── ub 192.168.77.2/32 node2
 */

import t from 'tap';
import { exec } from '../../../lab/exec.js';
import { ipBatch, sysctl } from '../../../lab/ip.js';
import { writeLeases } from '../../../lab/leases.js';
import { makeNetns } from '../../../lab/node.js';
import { until } from '../../../lab/until.js';
import { makeBed, startWefts } from '../support/bed.js';
import { runCommand } from '../support/cli.js';
import { cures, type Expected, findingsOf, finds } from '../support/doctor.js';
import { statusOf } from '../support/state.js';

const lab = await makeBed(t, { name: 'paths', podsPerNode: 0 });
const [node, other] = [lab.node(1), lab.node(2)];
const router = 'paths-router';
await makeNetns(router, false);
t.teardown(() => exec(['ip', 'netns', 'delete', router]));
await sysctl(router, { 'net/ipv4/ip_forward': 1 });
await ipBatch(node.netns, ['link delete ua']);
for (const { index, netns, iface, address } of lab.nodes) {
  const gateway = `192.168.78.${index}`;
  await ipBatch(router, [
    `link add r${index} type veth peer name ${iface} netns ${netns}`,
    `address add ${gateway}/32 dev r${index}`,
    `link set r${index} up`,
    `route add ${address}/32 dev r${index}`,
  ]);
  await ipBatch(netns, [
    `address add ${address}/32 dev ${iface}`,
    `link set ${iface} up`,
    `route add ${gateway}/32 dev ${iface}`,
    `route add 192.168.77.0/24 via ${gateway} src ${address}`,
  ]);
}
// The fast path would pass the rules of INPUT and OUTPUT by.
const [weft] = await startWefts(t, lab.nodes, { flags: ['--offload', 'gso'] });
const flags = ['--peers', '--run-dir', weft?.runDir ?? ''];

const narrow: Expected = {
  id: 'path-mtu-too-small',
  severity: 'error',
  what: /peer 192\.168\.77\.2 .*: the path carries packets of 1300 bytes, and the tunnel sends 1500$/,
  fix: /^ip link set ua mtu 1300 {3}# or "MTU": 1300 in Backend of net-conf\.json on every node$/,
};

t.test('nothing on a healthy path', async (t) => t.strictSame(await findingsOf(t, node, flags), []));

t.test('path-mtu-too-small, where packets vanish without a report', async (t) => {
  await exec(['iptables', '-A', 'FORWARD', '-m', 'length', '--length', '1301:', '-j', 'DROP'], {
    netns: router,
  });
  await finds(t, node, flags, narrow);
  await exec(['iptables', '-F', 'FORWARD'], { netns: router });
});

t.test('path-mtu-too-small, where a router reports that fragmentation is needed', async (t) => {
  await ipBatch(router, ['link set r2 mtu 1300']);
  const finding = await finds(t, node, flags, narrow);
  // The remedy is one of the whole cluster.
  await node.exec(['sh', '-ec', finding?.fix ?? 'false']);
  await ipBatch(other.netns, ['link set ub mtu 1300']);
  await until('the tunnel follows', async () => (await statusOf(weft)).device?.mtu === 1250);
  t.strictSame(await findingsOf(t, node, flags), []);
  await ipBatch(router, ['link set r2 mtu 1500']);
  for (const { netns, iface } of lab.nodes)
    await ipBatch(netns, [`link set ${iface} mtu 1500`, 'route flush cache']);
  await until('the tunnel follows', async () => (await statusOf(weft)).device?.mtu === 1450);
});

t.test("udp-port-filtered by this node's own firewall: its command, not one for the peer", async (t) => {
  for (const [rule, id] of [
    ['add rule inet f o udp dport 8472 drop', 'firewall-output'],
    ['add rule inet f i udp dport 8472 drop', 'firewall-input'],
  ] as const) {
    await node.exec(['nft', 'add table inet f']);
    await node.exec(['nft', 'add chain inet f o { type filter hook output priority 0; }']);
    await node.exec(['nft', 'add chain inet f i { type filter hook prerouting priority 0; }']);
    await node.exec(['nft', rule]);
    const found = await findingsOf(t, node, flags);
    t.match(found, [
      { id: 'udp-port-filtered', severity: 'error', why: /A firewall of this node drops/ },
      { id, severity: 'warning', fix: found[0]?.fix },
    ]);
    await node.exec(['sh', '-ec', found[0]?.fix ?? 'false']);
    t.strictSame(await findingsOf(t, node, flags), [], `after ${found[0]?.fix}`);
    await node.exec(['nft', 'delete table inet f']);
  }
});

t.test('ping-filtered where this node refuses to send pings: the tunnel works', async (t) => {
  await node.exec(['iptables', '-A', 'OUTPUT', '-p', 'icmp', '-j', 'DROP']);
  await cures(t, node, flags, {
    id: 'ping-filtered',
    what: /a firewall of this node drops pings \(EPERM\)$/,
    fix: 'iptables -I OUTPUT -p icmp -j ACCEPT',
  });
  await node.exec(['iptables', '-F', 'OUTPUT']);
});

t.test('underlay-unreachable, where a router says so, and where this node has no route', async (t) => {
  const expected = { id: 'underlay-unreachable', severity: 'error' } as const;
  await ipBatch(router, [`route replace unreachable ${other.address}/32`]);
  const what = /a router answers that it is unreachable \(ICMP code 1\)$/;
  await finds(t, node, flags, { ...expected, what, fix: /^ping -c 3 192\.168\.77\.2 / });
  await ipBatch(router, [
    `route delete unreachable ${other.address}/32`,
    `route add ${other.address}/32 dev r2`,
  ]);
  await ipBatch(node.netns, [`route add unreachable ${other.address}/32`]);
  const refused = { ...expected, what: /this node cannot send to it \(EHOSTUNREACH\)$/ };
  await finds(t, node, flags, { ...refused, fix: /^ip route get 192\.168\.77\.2 / });
  await ipBatch(node.netns, [`route delete unreachable ${other.address}/32`]);
});

t.test('a node without peers is healthy, and says so', async (t) => {
  await writeLeases(weft?.leaseFile ?? '', [node.lease()]);
  await until('no peer', async () => (await statusOf(weft)).peers.length === 0);
  const { code, stdout } = await runCommand(node, ['doctor', ...flags]);
  t.match(stdout, /^weft doctor: no problem found\n[^]*^ok {7}peers: no other node has a lease$/m);
  t.equal(code, 0);
});
