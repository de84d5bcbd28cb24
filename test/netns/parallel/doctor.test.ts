/** `weft doctor` reports what `weft run` would do with the same flags and changes nothing. */

import t, { type Test } from 'tap';
import { DEMO, startAll, stopAll } from '../../../lab/cluster.js';
import { ipBatch } from '../../../lab/ip.js';
import { type Lease, netConf, udpConf } from '../../../lab/leases.js';
import { makeBed, startWeft } from '../support/bed.js';
import { type Finished, makePlace, type PlaceOptions, runCommand, runFlags } from '../support/cli.js';
import { findingsOf } from '../support/doctor.js';
import { DEVICE6, dualConf, dualLease, makeDualBed, settled6 } from '../support/dual-bed.js';
import { networkOf } from '../support/state.js';

const lab = await makeBed(t, { name: 'doctor', podsPerNode: 0 });
const node = lab.node(1);

/** Runs the doctor and asserts that it changes nothing. */
async function doctor(t: Test, place: PlaceOptions, of = node): Promise<Finished> {
  const made = await makePlace(of, place);
  const before = await networkOf(of);
  const report = await runCommand(of, ['doctor', ...runFlags(made, of.iface).slice(1)]);
  t.strictSame(await networkOf(of), before, 'the doctor changes nothing');
  return report;
}

t.test('weft doctor on a healthy node has no finding, and a line for each check', async (t) => {
  for (const [conf, device, port, mtu] of [
    [netConf(), 'flannel.1', 8472, 1450],
    [udpConf(), 'flannel0', 8285, 1472],
  ] as const) {
    const { code, stdout, stderr } = await doctor(t, { name: `good-${device}`, netConf: conf });
    const type = conf.Backend.Type;
    const [headline, problems, ...passed] = stdout.trimEnd().split('\n');
    t.strictSame([code, stderr, headline, problems], [0, '', 'weft doctor: no problem found', '']);
    t.ok(passed.length >= 8 && passed.every((line) => /^(ok {7}| {9})/.test(line)), stdout);
    t.match(
      stdout.replaceAll(/\n {9}/g, ' '),
      `backend ${type}: ${device} with MTU ${mtu} over ua, UDP 192.168.77.1:${port}`,
    );
    t.match(
      stdout,
      type === 'vxlan'
        ? /ok {7}offload level: bpf\n/
        : /offload level: gso \(the udp backend has no Ethernet/,
    );
  }
});

t.test('weft doctor suggests udp where vxlan cannot run, and exits with 1', async (t) => {
  await ipBatch(node.netns, [
    'link add other type vxlan id 9 dev ua local 192.168.77.1 dstport 8472',
    'link set other up',
  ]);
  const { code, stdout, stderr } = await doctor(t, { name: 'taken' });
  t.match(
    stdout,
    /^ERROR {4}UDP port 8472 of 192\.168\.77\.1 is taken by the kernel vxlan device other\n {3}why: [^]*?\n {3}fix: {2}ip link delete other$/m,
  );
  t.match(
    stdout.replaceAll(/\n {9}/g, ' '),
    /^ok {7}backend udp: flannel0 .* would start: set "Type": "udp" in \S+ of every node$/m,
  );
  t.match(stderr, /^weft: weft doctor found 1 error; each has its remedy in the report/);
  t.equal(code, 1);
  await ipBatch(node.netns, ['link delete other']);
});

t.test('weft doctor reports a problem of both backends once', async (t) => {
  const { code, stdout } = await doctor(t, { name: 'nolease', leases: node.peers() });
  t.match(stdout, /^ERROR {4}.*no lease/im);
  t.notMatch(stdout, /backend udp/);
  t.equal(code, 1);
});

t.test('weft doctor suggests nothing where udp is configured', async (t) => {
  const { code, stdout } = await doctor(t, { name: 'udp-nolease', netConf: udpConf(), leases: node.peers() });
  t.equal(stdout.split('\n').filter((line) => line.startsWith('ERROR ')).length, 1);
  t.equal(code, 1);
});

t.test('weft doctor reports a Weft that is already running', async (t) => {
  const weft = await startWeft(t, node);
  const { code, stdout } = await runCommand(node, [
    ...['doctor', '--lease-file', weft.leaseFile, '--net-config-path', weft.netConfPath],
    ...['--iface', node.iface, '--run-dir', weft.runDir],
  ]);
  t.match(stdout, new RegExp(`^ok {7}weft runs here, pid ${weft.pids()[0]}, --run-dir ${weft.runDir}$`, 'm'));
  t.match(stdout, /^weft doctor: no problem found\n\nok /);
  t.equal(code, 0);
});

t.test("weft doctor has no finding on the demo's nodes, nor about their peers", async (t) => {
  const demo = await makeBed(t, { ...DEMO, name: 'demonodes' });
  const wefts = await startAll(demo);
  t.teardown(() => stopAll(wefts));
  for (const { node, runDir } of wefts)
    t.strictSame(await findingsOf(t, node, ['--peers', '--run-dir', runDir]), [], node.name);
});

t.test('weft doctor with both families', async (t) => {
  const lab = await makeDualBed(t, { name: 'doctor6', podsPerNode: 0 });
  const node = lab.node(1);
  await settled6(node);
  const leases = lab.nodes.map(dualLease);
  const inTheWay = async (t: Test, line: string, place: PlaceOptions) => {
    const { code, stdout } = await doctor(t, { leases, netConf: dualConf(), ...place }, node);
    t.strictSame(
      [
        code,
        stdout
          .replaceAll(/\n {9}/g, ' ')
          .split('\n')
          .filter((line) => line.startsWith('ERROR ')),
      ],
      [1, [`ERROR    ${line}`]],
      'udp, which has no IPv6, is not suggested',
    );
  };

  await t.test('a healthy node has a line with MTU and address for each device', async (t) => {
    const { code, stdout, stderr } = await doctor(t, { leases, netConf: dualConf() }, node);
    t.match(
      stdout.replaceAll(/\n {9}/g, ' '),
      '\nok       backend vxlan: flannel.1 with MTU 1450 over ua, UDP 192.168.77.1:8472\n',
    );
    t.match(
      stdout.replaceAll(/\n {9}/g, ' '),
      '\nok       backend vxlan: flannel-v6.1 with MTU 1430 over ua, UDP [fd00:77::1]:8472\n',
    );
    t.strictSame([code, stderr], [0, '']);
  });

  await t.test('a lease without IPv6 is reported', async (t) => {
    const [, other] = leases as [Lease, Lease];
    const { code, stdout } = await doctor(t, { leases: [node.lease(), other], netConf: dualConf() }, node);
    t.match(stdout.replaceAll(/\n {9}/g, ' '), /^ERROR {4}.*no lease for this node.*fd00:77::1/m);
    t.equal(code, 1);
  });

  await t.test('a device on the IPv6 port is reported', async (t) => {
    await ipBatch(node.netns, [
      'link add other type vxlan id 9 dev ua local fd00:77::1 dstport 8472',
      'link set other addrgenmode none',
      'link set other up',
    ]);
    await inTheWay(t, 'UDP port 8472 of fd00:77::1 is taken by the kernel vxlan device other', {
      name: 'taken',
    });
    await ipBatch(node.netns, ['link delete other']);
  });

  await t.test("a device with the IPv6 device's name is reported", async (t) => {
    await ipBatch(node.netns, [`link add ${DEVICE6} type veth peer name other0`]);
    await inTheWay(t, `${DEVICE6} exists: it is a veth device`, { name: 'device' });
  });
});
