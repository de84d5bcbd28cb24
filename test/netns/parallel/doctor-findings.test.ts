/** Each finding of `weft doctor` before the start of Weft: provoked on a node, reported, and cured by its command. */

import { cp, mkdir, symlink, writeFile } from 'node:fs/promises';
import t from 'tap';
import { exec } from '../../../lab/exec.js';
import { ipBatch, sysctl } from '../../../lab/ip.js';
import { madeUpLease, netConf } from '../../../lab/leases.js';
import { readClock } from '../../../src/control/doctor/clock.js';
import { makeBed } from '../support/bed.js';
import { makePlace, runFlags } from '../support/cli.js';
import { cures, type Expected, findingsOf, finds, mounted, preloaded } from '../support/doctor.js';
import { dualConf, dualLease, makeDualBed, settled6 } from '../support/dual-bed.js';

const lab = await makeBed(t, { name: 'findings', podsPerNode: 1 });
const [node, other] = [lab.node(1), lab.node(2)];
const place = await makePlace(node);
const start = runFlags(place, node.iface).slice(1);

/** Etcd with TLS, which does not answer: the doctor waits for it while other tests change the first node. */
const unreachable = findingsOf(t, other, [
  ...['--etcd-endpoints=https://127.0.0.1:9', '--iface', other.iface],
  ...['--run-dir', `${place.runDir}-etcd`],
]);
const unnamed = findingsOf(t, other, ['--run-dir', `${place.runDir}-etcd`]);

t.test('nothing on a healthy node', async (t) => t.strictSame(await findingsOf(t, node, start), []));

t.test('platform', async (t) => {
  const env = preloaded("Object.defineProperty(process, 'arch', { value: 'arm' })");
  const what = /architecture arm is not supported: Node\.js is a 32-bit build/;
  await finds(t, node, start, { id: 'platform', severity: 'error', what, fix: /64-bit/ }, { env });
});

t.test('tun', (t) =>
  finds(
    t,
    node,
    start,
    { id: 'tun', severity: 'error', what: /\/dev\/net\/tun: no such device/, fix: 'modprobe tun' },
    mounted('mount -t tmpfs tmpfs /dev/net'),
  ),
);

t.test('capabilities', async (t) => {
  const found = await findingsOf(t, node, start, {
    under: ['setpriv', '--bounding-set=-net_admin', '--inh-caps=-net_admin'],
  });
  t.match(
    found.find(({ id }) => id === 'capabilities'),
    { severity: 'error', what: /lacks CAP_NET_ADMIN/, fix: 'sudo weft doctor' },
  );
});

t.test('device-taken, also by the device of a flanneld that is gone', async (t) => {
  for (const [device, what] of [
    ['type bridge', /flannel\.1 exists: it is a bridge/],
    ['type vxlan id 1 dev ua local 192.168.77.1 dstport 8472', /it is a kernel vxlan device \(VNI 1/],
  ] as const) {
    await ipBatch(node.netns, [`link add flannel.1 ${device}`, 'link set flannel.1 up']);
    const fix = 'ip link delete flannel.1';
    await cures(t, node, start, { id: 'device-taken', severity: 'error', what, fix });
  }
});

t.test('port-taken', async (t) => {
  const code = "require('dgram').createSocket('udp4').bind(8472, '192.168.77.1', () => console.log('bound'))";
  const socket = node.start([process.execPath, '-e', code]);
  await socket.waitFor(/bound/);
  const found = await findingsOf(t, node, start);
  t.match(found, [{ id: 'port-taken', severity: 'error', fix: 'ss -lunp "sport = :8472"' }]);
  await socket.stop();
});

t.test('no-underlay', async (t) => {
  const [missing, down] = [runFlags(place, 'none0').slice(1), runFlags(place, 'down0').slice(1)];
  const expected = { id: 'no-underlay', severity: 'error', what: /--iface none0: no interface/ } as const;
  await finds(t, node, missing, { ...expected, fix: /--iface\.$/ });
  await ipBatch(node.netns, ['link add down0 type bridge', 'address add 192.168.77.1/24 dev down0']);
  const fix = 'ip link set dev down0 up';
  await finds(t, node, down, { ...expected, what: /down0 is down/, fix });
  await ipBatch(node.netns, ['link delete down0']);
});

t.test('cannot-start', (t) =>
  finds(t, node, [...start, '--lease-file=/nowhere'], {
    id: 'cannot-start',
    severity: 'error',
    what: /no such file/,
    fix: /^Create it/,
  }),
);

t.test('not-writable', async (t) => {
  const blocked = await makePlace(node, { name: 'blocked' });
  const flags = runFlags(blocked, node.iface).slice(1);
  await mkdir(blocked.subnetFile, { recursive: true });
  const expected = { id: 'not-writable', severity: 'error' } as const;
  const fix = `rmdir ${blocked.subnetFile}`;
  await cures(t, node, flags, { ...expected, what: /--subnet-file .* is a directory$/, fix });
  const options = mounted(`mount --bind ${node.dir} ${node.dir}`, `mount -o remount,bind,ro ${node.dir}`);
  const below = [...flags, '--run-dir', `${node.dir}/not/there`, '--subnet-file', '/run/flannel/subnet.env'];
  const what = /--run-dir .*\/not\/there: the file system of .* is read-only$/;
  await finds(t, node, below, { ...expected, what, fix: 'Name another path with --run-dir.' }, options);
  const file = [...flags, '--run-dir', blocked.leaseFile];
  await finds(t, node, file, { ...expected, what: /leases\.json is no directory$/, fix: /--run-dir\.$/ });
});

t.test('peers-not-probed', (t) =>
  finds(t, node, [...start, '--peers'], {
    id: 'peers-not-probed',
    severity: 'error',
    what: /no Weft runs here/,
    fix: 'systemctl start weft',
  }),
);

t.test('firewall-forward, firewall-input and firewall-output', async (t) => {
  const tunnel = '-p udp --dport 8472 -j ACCEPT';
  const cases: readonly [rule: string, Expected][] = [
    [
      'iptables -A FORWARD -j REJECT',
      {
        id: 'firewall-forward',
        what: /FORWARD drops pod traffic of 10\.244/,
        fix: /^iptables -I FORWARD -s/,
      },
    ],
    [
      'iptables -A INPUT -p udp --dport 8472 -j DROP',
      {
        id: 'firewall-input',
        what: /datagrams of peers to UDP port 8472/,
        fix: `iptables -I INPUT -i ua ${tunnel}`,
      },
    ],
    [
      'iptables -P OUTPUT DROP',
      {
        id: 'firewall-output',
        what: /datagrams to UDP port 8472 of peers .*policy is DROP/,
        fix: `iptables -I OUTPUT -o ua ${tunnel}`,
      },
    ],
    [
      "nft add table inet f; nft 'add chain inet f o { type filter hook postrouting priority 0; policy drop; }'",
      {
        id: 'firewall-output',
        what: /hook postrouting\) drops/,
        fix: /^nft insert rule inet f o udp dport 8472 accept$/,
      },
    ],
  ];
  for (const [rule, expected] of cases) {
    await node.exec(['sh', '-ec', rule]);
    await cures(t, node, start, expected);
    await node.exec(['sh', '-ec', 'nft flush ruleset']);
  }
});

t.test('firewall-module', async (t) => {
  const bin = `${node.dir}/bin`;
  await mkdir(bin);
  await symlink((await exec(['sh', '-c', 'command -v ip'])).stdout.trim(), `${bin}/ip`);
  const expected = { id: 'firewall-module', what: /^iptables: command not found in PATH/ } as const;
  const options = { under: ['env', `PATH=${bin}`] };
  await finds(t, node, start, { ...expected, fix: 'apt-get install iptables' }, options);
});

t.test('direct-routing', async (t) => {
  const direct = await makePlace(node, { name: 'direct', netConf: netConf({ DirectRouting: true }) });
  const flags = runFlags(direct, node.iface).slice(1);
  await ipBatch(node.netns, [
    'link add noarp0 type bridge',
    'link set noarp0 arp off up',
    `route add ${other.address}/32 dev noarp0`,
  ]);
  const what = /DirectRouting is not used over noarp0/;
  await finds(t, node, flags, { id: 'direct-routing', what, fix: /^Set DirectRouting to false/ });
  await ipBatch(node.netns, ['link delete noarp0']);
  t.strictSame(await findingsOf(t, node, flags), []);
});

t.test('router-advertisements', async (t) => {
  const dual = await makeDualBed(t, { name: 'findings6', podsPerNode: 0 });
  const first = dual.node(1);
  await settled6(first);
  const both = await makePlace(first, { leases: dual.nodes.map(dualLease), netConf: dualConf() });
  await sysctl(first.netns, { [`net/ipv6/conf/${first.iface}/accept_ra`]: 1 });
  await ipBatch(first.netns, [`route add default via fe80::1 dev ${first.iface} proto ra`]);
  await cures(t, first, runFlags(both, first.iface).slice(1), {
    id: 'router-advertisements',
    what: /accept_ra is 1 and forwarding is on/,
    fix: `sysctl -w net.ipv6.conf.${first.iface}.accept_ra=2`,
  });
});

t.test('everything that a foreign program or setting does, in one report', async (t) => {
  const program = `${node.dir}/flanneld`;
  await cp('/bin/sleep', program);
  const flanneld = node.start([program, '60']);
  const etc = `${node.dir}/etc`;
  await exec(['cp', '-a', '/etc', etc]);
  await mkdir(`${etc}/cni/net.d`, { recursive: true });
  const conflist = (type: string) => JSON.stringify({ cniVersion: '1.0.0', name: type, plugins: [{ type }] });
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
  const options = { ...mounted(`mount --bind ${etc} /etc`), env: preloaded('Date.now = () => 0') };
  const findings = await findingsOf(t, node, flags, options);
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
      fix: 'ip address delete 169.254.7.7/16 dev flannel.9',
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
  for (const { severity = 'warning', ...rest } of expected) t.match(byId.get(rest.id), { severity, ...rest });
  t.strictSame(findings.map(({ id }) => id).sort(), expected.map(({ id }) => id).sort());
  t.equal(findings[0]?.severity, 'error', 'errors come first');
  await flanneld.stop();
  // The clock and /etc were those of the first doctor alone.
  const cured = findings.filter(({ id }) => !['cni-conflict', 'clock-wrong', 'flanneld-runs'].includes(id));
  for (const { fix } of cured) await node.exec(['sh', '-ec', fix]);
  t.strictSame(await findingsOf(t, node, flags), [], 'after all commands');
  for (const device of ['flannel.9', 'elsewhere']) await ipBatch(node.netns, [`link delete ${device}`]);
  await ipBatch(node.netns, ['link set ua mtu 1500']);
});

t.test('mtu-bridge and mtu-pods', async (t) => {
  const narrow = await makePlace(node, { name: 'narrow', netConf: netConf({ MTU: 1400 }) });
  const flags = runFlags(narrow, node.iface).slice(1);
  const pods = { id: 'mtu-pods', what: /veth1.*the overlay carries 1350/, fix: /drain/ };
  await finds(t, node, flags, pods);
  await ipBatch(node.netns, ['link set veth1 mtu 1350', 'link set cni0 mtu 1500']);
  const fix = 'ip link set cni0 mtu 1350';
  await cures(t, node, flags, { id: 'mtu-bridge', what: /cni0 has MTU 1500/, fix });
  await ipBatch(node.netns, ['link set veth1 mtu 1450', 'link set cni0 mtu 1450']);
});

t.test('source-unreachable, with or without a named source', async (t) => {
  const found = await unreachable;
  const [source, ...rest] = found;
  t.match(source, {
    id: 'source-unreachable',
    severity: 'error',
    what: /cannot be reached/,
    fix: /^etcdctl /,
  });
  // TLS needs a clock in time; whether a program sets it depends on this machine.
  t.match(
    rest,
    readClock().synchronised ? [] : [{ id: 'clock-unsynchronised', fix: 'timedatectl set-ntp true' }],
  );
  t.equal(rest.length, readClock().synchronised ? 0 : 1);
  const what = /^neither --lease-file nor --kube-subnet-mgr is given, and no etcd answers at http:/;
  t.match(await unnamed, [
    { id: 'source-unreachable', what, fix: /^Give weft doctor the flags of weft run/ },
  ]);
});
