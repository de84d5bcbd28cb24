/** Each finding of `weft doctor` is provoked on a node and reported, with its command; without the cause it is not. */

import { cp, mkdir, writeFile } from 'node:fs/promises';
import t, { type Test } from 'tap';
import { exec } from '../../../lab/exec.js';
import { ipBatch, sysctl } from '../../../lab/ip.js';
import { madeUpLease, netConf, writeAtomically } from '../../../lab/leases.js';
import { until } from '../../../lab/until.js';
import { makeBed, startWeft } from '../support/bed.js';
import { type CommandOptions, makePlace, runCommand, runFlags, startCommand } from '../support/cli.js';
import { assertSchema } from '../support/doctor-schema.js';

interface Finding {
  readonly id: string;
  readonly severity: string;
  readonly what: string;
  readonly fix: string;
}

/** What a finding must say. */
interface Expected {
  readonly id: string;
  readonly severity?: 'error' | 'warning';
  readonly what: RegExp;
  readonly fix: RegExp | string;
}

const lab = await makeBed(t, { name: 'findings', podsPerNode: 1 });
const [node, other] = [lab.node(1), lab.node(2)];
const place = await makePlace(node);
const start = runFlags(place, node.iface).slice(1);

async function findingsOf(t: Test, flags: readonly string[], options?: CommandOptions): Promise<Finding[]> {
  const { code, stdout, stderr } = await runCommand(node, ['doctor', '--json', ...flags], options, 25_000);
  t.match(stdout, /^\{/, stderr);
  const report = JSON.parse(stdout) as { findings: Finding[]; healthy: boolean };
  assertSchema(t, report);
  t.equal(code, report.healthy ? 0 : 1);
  return report.findings;
}

/** Asserts that the doctor has this one finding. */
async function finds(t: Test, expected: Expected, flags = start, options?: CommandOptions): Promise<void> {
  const { id, severity = 'warning', what, fix } = expected;
  const findings = await findingsOf(t, flags, options);
  t.match(findings, [{ id, severity, what, fix }]);
  t.equal(findings.length, 1, JSON.stringify(findings));
}

/** Runs a command in its own mounts, which these lines of shell change. */
function mounted(...lines: readonly string[]): CommandOptions {
  return { under: ['unshare', '--mount', 'sh', '-ec', [...lines, 'exec "$@"'].join('\n'), 'sh'] };
}

t.test('before the start:', async (t) => {
  // It waits for the source meanwhile.
  const unreachable = findingsOf(t, [
    ...['--etcd-endpoints=http://127.0.0.1:9', '--iface', node.iface],
    ...['--run-dir', `${place.runDir}-etcd`],
  ]);

  await t.test('nothing on a healthy node', async (t) => t.strictSame(await findingsOf(t, start), []));

  await t.test('tun', (t) =>
    finds(
      t,
      { id: 'tun', severity: 'error', what: /\/dev\/net\/tun: no such device/, fix: 'modprobe tun' },
      start,
      mounted('mount -t tmpfs tmpfs /dev/net'),
    ),
  );

  await t.test('capabilities', async (t) => {
    const found = await findingsOf(t, start, {
      under: ['setpriv', '--bounding-set=-net_admin', '--inh-caps=-net_admin'],
    });
    t.match(
      found.find(({ id }) => id === 'capabilities'),
      { severity: 'error', what: /lacks CAP_NET_ADMIN/, fix: 'sudo weft doctor' },
    );
  });

  await t.test('device-taken', async (t) => {
    await ipBatch(node.netns, ['link add flannel.1 type bridge']);
    const fix = 'ip link delete flannel.1';
    await finds(t, { id: 'device-taken', severity: 'error', what: /flannel\.1 exists: it is a bridge/, fix });
    await ipBatch(node.netns, ['link delete flannel.1']);
  });

  await t.test('port-taken', async (t) => {
    const code =
      "require('dgram').createSocket('udp4').bind(8472, '192.168.77.1', () => console.log('bound'))";
    const socket = node.start([process.execPath, '-e', code]);
    await socket.waitFor(/bound/);
    const found = await findingsOf(t, start);
    t.match(found, [{ id: 'port-taken', severity: 'error', fix: 'ss -lunp "sport = :8472"' }]);
    await socket.stop();
  });

  await t.test('cannot-start', (t) =>
    finds(t, { id: 'cannot-start', severity: 'error', what: /no such file/, fix: /create it/ }, [
      ...start,
      '--lease-file=/nowhere',
    ]),
  );

  await t.test('peers-not-probed', (t) =>
    finds(
      t,
      { id: 'peers-not-probed', severity: 'error', what: /no Weft runs here/, fix: 'systemctl start weft' },
      [...start, '--peers'],
    ),
  );

  await t.test('everything that a foreign program or setting does, in one report', async (t) => {
    const program = `${node.dir}/flanneld`;
    await cp('/bin/sleep', program);
    const flanneld = node.start([program, '60']);
    const etc = `${node.dir}/etc`;
    await exec(['cp', '-a', '/etc', etc]);
    await mkdir(`${etc}/cni/net.d`, { recursive: true });
    const conflist = (type: string) =>
      JSON.stringify({ cniVersion: '1.0.0', name: type, plugins: [{ type }] });
    await writeFile(`${etc}/cni/net.d/05-other.conflist`, conflist('calico'));
    await writeFile(`${etc}/cni/net.d/10-flannel.conflist`, conflist('flannel'));
    await ipBatch(node.netns, [
      'link add flannel.9 type bridge',
      'address add 169.254.7.7/16 dev flannel.9',
      'link add elsewhere type bridge',
      'link set elsewhere up',
      `route add ${other.address}/32 dev elsewhere`,
      'address add 192.168.77.77/32 dev lo',
      'link add old0 type bridge',
      'address add 10.244.9.1/24 dev old0',
    ]);
    await sysctl(node.netns, { 'net/ipv4/ip_forward': 0, [`net/ipv4/conf/${node.iface}/rp_filter`]: 1 });
    const here = { ...madeUpLease(1), Subnet: '10.244.77.0/24', PublicIP: '192.168.77.77' };
    const bad = await makePlace(node, {
      name: 'bad',
      netConf: netConf({ MTU: 1600 }),
      leases: [...lab.leases(), here],
    });
    const flags = runFlags(bad, node.iface).slice(1);
    const { under } = mounted(`mount --bind ${etc} /etc`);
    const early = ['env', 'NODE_OPTIONS=--import=data:text/javascript,Date.now=()=>0'];
    const findings = await findingsOf(t, flags, { under: [...(under ?? []), ...early] });
    const byId = new Map(findings.map((finding) => [finding.id, finding]));
    const expected: readonly Expected[] = [
      { id: 'cni-bridge', what: /old0 has address 10\.244\.9\.1/, fix: 'ip link delete old0' },
      {
        id: 'cni-conflict',
        what: /05-other\.conflist \(type calico\) comes before 10-flannel\.conflist/,
        fix: 'mv /etc/cni/net.d/05-other.conflist /etc/cni/net.d/05-other.conflist.disabled',
      },
      { id: 'clock-wrong', what: /the clock says 1970-01-01/, fix: 'timedatectl set-ntp true' },
      {
        id: 'dhcp-client',
        what: /flannel\.9 has the address 169\.254\.7\.7\/16 of a DHCP client/,
        fix: /flannel/,
      },
      {
        id: 'flanneld-runs',
        severity: 'error',
        what: new RegExp(`flanneld runs here too \\(pid ${flanneld.pid}\\)`),
        fix: /./,
      },
      { id: 'forwarding', what: /ip_forward is 0/, fix: 'sysctl -w net.ipv4.ip_forward=1' },
      { id: 'local-peer', what: /an address of lo/, fix: 'ip address delete 192.168.77.77/32 dev lo' },
      {
        id: 'mtu-underlay',
        what: /flannel\.1 has MTU 1550, and ua carries 1500/,
        fix: 'ip link set ua mtu 1600',
      },
      {
        id: 'rp-filter',
        what: /rp_filter of ua is strict, and the route to 192\.168\.77\.2 uses elsewhere/,
        fix: 'sysctl -w net.ipv4.conf.ua.rp_filter=2',
      },
    ];
    for (const { severity = 'warning', ...rest } of expected)
      t.match(byId.get(rest.id), { severity, ...rest });
    t.strictSame(findings.map(({ id }) => id).sort(), expected.map(({ id }) => id).sort());
    t.equal(findings[0]?.severity, 'error', 'errors come first');
    await flanneld.stop();
    for (const device of ['flannel.9', 'elsewhere', 'old0'])
      await ipBatch(node.netns, [`link delete ${device}`]);
    await ipBatch(node.netns, ['address delete 192.168.77.77/32 dev lo']);
    await sysctl(node.netns, { 'net/ipv4/ip_forward': 1, [`net/ipv4/conf/${node.iface}/rp_filter`]: 0 });
  });

  await t.test('mtu-bridge and mtu-pods', async (t) => {
    const narrow = await makePlace(node, { name: 'narrow', netConf: netConf({ MTU: 1400 }) });
    const flags = runFlags(narrow, node.iface).slice(1);
    await finds(t, { id: 'mtu-pods', what: /veth1.*the overlay carries 1350/, fix: /drain/ }, flags);
    await ipBatch(node.netns, ['link set veth1 mtu 1350', 'link set cni0 mtu 1500']);
    const fix = 'ip link set cni0 mtu 1350';
    await finds(t, { id: 'mtu-bridge', what: /cni0 has MTU 1500/, fix }, flags);
    await ipBatch(node.netns, ['link set veth1 mtu 1450', 'link set cni0 mtu 1450']);
  });

  await t.test('source-unreachable', async (t) => {
    const severity = 'error';
    t.match(await unreachable, [
      { id: 'source-unreachable', severity, what: /cannot be reached/, fix: /^etcdctl / },
    ]);
  });
});

t.test('beside a running Weft:', async (t) => {
  const weft = await startWeft(t, node);
  const here = ['--run-dir', weft.runDir];

  await t.test('nothing on a healthy node', async (t) => t.strictSame(await findingsOf(t, here), []));

  await t.test('leases-refused', async (t) => {
    await writeAtomically(weft.leaseFile, '{ "leases": [ { "Subnet": "10.244.1.0/24" } ] }\n');
    await weft.process.waitFor(/leases rejected/);
    const [first] = await findingsOf(t, here);
    t.match(first, { id: 'leases-refused', severity: 'error' });
  });

  await t.test('mtu-subnet-env', async (t) => {
    const directory = `${node.dir}/plugin`;
    await mkdir(`${directory}`, { recursive: true });
    await writeFile(`${directory}/subnet.env`, 'FLANNEL_SUBNET=10.244.1.1/24\nFLANNEL_MTU=1500\n');
    const found = await findingsOf(
      t,
      here,
      mounted('mkdir -p /run/flannel', `mount --bind ${directory} /run/flannel`),
    );
    t.match(
      found.find(({ id }) => id === 'mtu-subnet-env'),
      { what: /\/run\/flannel\/subnet\.env says MTU 1500, and the overlay carries 1450/, fix: /^cp / },
    );
  });
});

t.test('a Weft that waits: not-ready', async (t) => {
  const waiting = await makePlace(other, { name: 'waiting' });
  const weft = startCommand(t, other, runFlags(waiting, 'none0'));
  await until('it waits', async () => /none0/.test(weft.stderr));
  const doctor = async () => await runCommand(other, ['doctor', '--run-dir', waiting.runDir]);
  const { code, stdout } = await doctor();
  t.match(stdout, /^ERROR {4}Weft is not ready: waiting for the underlay: --iface none0/m);
  t.match(stdout, /^ok {7}weft runs here, pid \d+/m);
  t.equal(code, 1);
});
