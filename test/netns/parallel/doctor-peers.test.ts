/** `weft doctor --peers` says of each peer whether packets reach it, and why not. */

import t from 'tap';
import { type KernelOptions, startKernel } from '../../../lab/dataplanes/kernel.js';
import { ipBatch } from '../../../lab/ip.js';
import { madeUpLease, udpConf, writeLeases } from '../../../lab/leases.js';
import { until } from '../../../lab/until.js';
import { makeBed, startWeft, startWefts, withKernelVxlan } from '../support/bed.js';
import { runCommand } from '../support/cli.js';
import { assertSchema } from '../support/doctor-schema.js';
import { dualConf, dualLease, makeDualBed, settled6 } from '../support/dual-bed.js';
import { statusOf } from '../support/state.js';

interface Peer {
  readonly publicIP: string;
  readonly verdict: string;
  readonly tunnel: { readonly small: number | null; readonly full: number | null };
  readonly pathMTU: number | null;
  readonly seenFrom: string | null;
  readonly seenMAC: string | null;
}

const NAT = '192.168.77.99';
const NEW_MAC = '02:00:00:00:00:aa';

t.test('weft doctor --peers', await withKernelVxlan(), async (t) => {
  const lab = await makeBed(t, { name: 'doctorpeers', nodes: 8, podsPerNode: 0 });
  const node = lab.node(1);
  const kernel: KernelOptions = { peers: [node.lease()] };
  for (const peer of lab.nodes.slice(1)) await startKernel(peer, kernel);
  const [filtered, narrow, translated, renamed, refused, quiet] = [3, 4, 5, 6, 7, 8].map((index) =>
    lab.node(index),
  );
  const gone = {
    Subnet: '10.244.77.0/24',
    PublicIP: '192.168.77.200',
    BackendType: 'vxlan',
    BackendData: { VNI: 1, VtepMAC: '02:00:00:00:00:c8' },
  };
  const weft = await startWeft(t, node, { leases: [...lab.leases(), gone] });
  const doctor = async (...flags: string[]) =>
    await runCommand(node, ['doctor', '--peers', '--run-dir', weft.runDir, ...flags], {}, 20_000);
  const reports = async (): Promise<{
    code: number | null;
    peers: Peer[];
    findings: { id: string; what: string; fix: string }[];
  }> => {
    const { code, stdout } = await doctor('--json');
    const report = JSON.parse(stdout);
    assertSchema(t, report);
    return { code, ...report };
  };

  await t.test('distinguishes the reasons why a peer is not reached', async (t) => {
    await filtered?.exec(['iptables', '-I', 'INPUT', '-p', 'udp', '--dport', '8472', '-j', 'DROP']);
    await refused?.exec(['iptables', '-I', 'INPUT', '-p', 'udp', '--dport', '8472', '-j', 'REJECT']);
    await quiet?.exec(['iptables', '-I', 'INPUT', '-i', 'flannel.1', '-p', 'icmp', '-j', 'DROP']);
    // A veth drops packets that are more than a VLAN tag above its MTU, and says nothing.
    await ipBatch(narrow?.netns ?? '', [`link set ${narrow?.iface} mtu 1396`]);
    await ipBatch(translated?.netns ?? '', [`address add ${NAT}/24 dev ${translated?.iface}`]);
    await translated?.exec([
      ...['iptables', '-t', 'nat', '-A', 'POSTROUTING', '-p', 'udp', '--dport', '8472'],
      ...['-j', 'SNAT', '--to-source', NAT],
    ]);
    await ipBatch(renamed?.netns ?? '', [`link set flannel.1 address ${NEW_MAC}`]);
    const { code, peers, findings } = await reports();
    t.strictSame(
      peers.map(({ publicIP, verdict, pathMTU, seenFrom, seenMAC }) => [
        publicIP,
        verdict,
        pathMTU,
        seenFrom,
        seenMAC,
      ]),
      [
        ['192.168.77.2', 'healthy', null, null, null],
        ['192.168.77.3', 'udp-port-filtered', null, null, null],
        ['192.168.77.4', 'path-mtu-too-small', 1400, null, null],
        ['192.168.77.5', 'wrong-source-address', null, NAT, null],
        ['192.168.77.6', 'changed-mac', null, null, NEW_MAC],
        ['192.168.77.7', 'udp-port-filtered', null, null, null],
        ['192.168.77.8', 'ping-filtered', null, null, null],
        ['192.168.77.200', 'underlay-unreachable', null, null, null],
      ],
    );
    t.match(
      findings
        .filter(({ what }) => what.startsWith('peer '))
        .map(({ id }) => id)
        .sort(),
      [
        'changed-mac',
        'path-mtu-too-small',
        'ping-filtered',
        'udp-port-filtered',
        'udp-port-filtered',
        'underlay-unreachable',
        'wrong-source-address',
      ],
    );
    t.equal(code, 1);
    t.match(findings.find(({ what }) => what.includes('77.7 '))?.what, /ICMP port unreachable/);
  });

  await t.test('probes 100 peers, most of which never answer, within 5 s', async (t) => {
    const many = Array.from({ length: 92 }, (_, index) => ({
      ...madeUpLease(index),
      Subnet: `10.244.${100 + index}.0/24`,
      PublicIP: `192.168.77.${101 + index}`,
    }));
    await writeLeases(weft.leaseFile, [...lab.leases(), gone, ...many]);
    await until('all peers are known', async () => (await statusOf(weft)).peers.length === 100);
    const start = performance.now();
    const { peers } = await reports();
    t.ok(performance.now() - start < 5000, 'with the start of the command and all other checks');
    t.equal(peers.length, 100);
    t.equal(peers.filter(({ verdict }) => verdict === 'underlay-unreachable').length, 93);
  });
});

t.test('weft doctor --peers finds Weft peers healthy:', async (t) => {
  for (const [what, conf, dual] of [
    ['both families', dualConf(), true],
    ['backend udp', udpConf(), false],
  ] as const)
    await t.test(what, async (t) => {
      const name = dual ? 'doctorpeers6' : 'doctorpeersudp';
      const lab = dual
        ? await makeDualBed(t, { name, podsPerNode: 0 })
        : await makeBed(t, { name, podsPerNode: 0, overhead: 28 });
      const leases = dual
        ? lab.nodes.map(dualLease)
        : lab.leases().map(({ Subnet, PublicIP }) => ({ Subnet, PublicIP }));
      if (dual) await Promise.all(lab.nodes.map(settled6));
      const [weft] = await startWefts(t, lab.nodes, { netConf: conf, leases });
      const { code, stdout } = await runCommand(
        lab.node(1),
        ['doctor', '--peers', '--json', '--run-dir', weft?.runDir ?? ''],
        {},
        20_000,
      );
      const { peers, findings } = JSON.parse(stdout) as { peers: Peer[]; findings: unknown[] };
      t.strictSame(
        peers.map(({ verdict, tunnel }) => [verdict, tunnel.full !== null]),
        (dual ? [1, 2] : [1]).map(() => ['healthy', true]),
      );
      t.strictSame([code, findings], [0, []]);
    });
});
