/** `weft status` and `weft cleanup` in every state of a node. */

import { existsSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import t, { type Test } from 'tap';
import { startKernel } from '../../../lab/dataplanes/kernel.js';
import { READY, type WeftDataplane } from '../../../lab/dataplanes/weft.js';
import { ipBatch } from '../../../lab/ip.js';
import { netConf } from '../../../lab/leases.js';
import type { LabNode } from '../../../lab/node.js';
import { makeBed, startWeft, withKernelVxlan } from '../support/bed.js';
import { makePlace, runCommand, runFlags, startCommand } from '../support/cli.js';
import { dualConf, dualLease, makeDualBed } from '../support/dual-bed.js';
import { statusOf } from '../support/state.js';

/** Patterns of Weft's devices, chains, tables and sockets, and of the other node's pods. */
const OURS = /flannel|:8472|10\.244\.2\.|fd00:244:2:|blackhole/i;

/** Returns everything that Weft may leave on a node. */
async function everythingOf(node: LabNode): Promise<string> {
  const commands =
    'ip -o link; ip -4 route; ip -6 route; ip neigh; ss -Hlun; iptables-save; ip6tables-save; nft list ruleset';
  return (await node.exec(['sh', '-c', commands])).stdout;
}

async function cleanUp(t: Test, weft: WeftDataplane, says: RegExp): Promise<void> {
  const { code, stdout, stderr } = await runCommand(weft.node, ['cleanup', '--run-dir', weft.runDir]);
  t.equal(code, 0);
  t.equal(stderr, '');
  t.match(stdout, says);
  const left = (await everythingOf(weft.node)).split('\n').filter((line) => OURS.test(line));
  t.strictSame(left, [], 'no device, route, neighbour, socket or rule');
  t.notOk(existsSync(weft.subnetFile), 'no subnet file');
  t.notOk(existsSync(weft.runDir), 'no run directory');
}

t.test('weft cleanup stops a running Weft and removes what it created', async (t) => {
  const lab = await makeBed(t, { name: 'cleanup' });
  const weft = await startWeft(t, lab.node(1));
  await cleanUp(t, weft, /stopped Weft/);
  t.strictSame(await weft.process.exited, { code: 0, signal: null }, 'the running Weft exits with 0');
});

t.test('weft cleanup after a clean stop removes the subnet file', async (t) => {
  const lab = await makeBed(t, { name: 'cleanstop' });
  const weft = await startWeft(t, lab.node(1));
  await weft.end();
  t.ok(existsSync(weft.subnetFile), 'a stop leaves the subnet file, as flannel does');
  await cleanUp(t, weft, /removed .*subnet\.env/);
});

t.test('weft cleanup of a user who is not root says so, and removes nothing', async (t) => {
  const lab = await makeBed(t, { name: 'cleanuser' });
  const weft = await startWeft(t, lab.node(1));
  await weft.end();
  const under = ['setpriv', '--reuid', '65534', '--regid', '65534', '--clear-groups'];
  const { code, stdout, stderr } = await runCommand(weft.node, ['cleanup', '--run-dir', weft.runDir], {
    under,
  });
  t.same(
    [code, stdout, stderr],
    [1, '', `weft: --run-dir ${weft.runDir}: permission denied; run this command as root\n`],
  );
  t.match(await everythingOf(weft.node), /^\d+: flannel\.1: /m);
  t.ok(existsSync(weft.subnetFile) && existsSync(weft.runDir));
});

t.test('weft cleanup after kill -9 removes device, rules and files', async (t) => {
  const lab = await makeBed(t, { name: 'cleankill' });
  const weft = await startWeft(t, lab.node(1));
  await weft.end('SIGKILL');
  await cleanUp(t, weft, /removed .*subnet\.env/);
});

t.test('weft cleanup removes a left device that was renamed', async (t) => {
  const lab = await makeBed(t, { name: 'cleanrename' });
  const weft = await startWeft(t, lab.node(1));
  await weft.end();
  await ipBatch(weft.node.netns, ['link set dev flannel.1 down', 'link set dev flannel.1 name old0']);
  await cleanUp(t, weft, /removed old0 with its routes/);
  t.notMatch(await everythingOf(weft.node), /\bold0\b/);
});

/** Lines that exist while such a Weft process runs, or after it was killed. */
const TUNNEL = [
  /^\d+: flannel\.1: /m,
  /^\d+: flannel-v6\.1: /m,
  /^10\.244\.2\.0\/24 via 10\.244\.2\.0 dev flannel\.1 /m,
  /^fd00:244:2::\/64 via fd00:244:2:: dev flannel-v6\.1 /m,
  /^fd00:244:2:: dev flannel-v6\.1 lladdr 02:00:00:00:06:02 /m,
  /:8472 /,
];
const DIRECT = [
  /^10\.244\.2\.0\/24 via 192\.168\.77\.2 dev ua /m,
  /^fd00:244:2::\/64 via fd00:77::2 dev ua /m,
];
const BLACKHOLES = [/^blackhole 10\.244\.1\.0\/24 /m, /^blackhole fd00:244:1::\/64 dev lo /m];

for (const { what, name, conf, end, there, says } of [
  {
    what: 'with iptables, of a running Weft',
    name: 'cleandual',
    conf: dualConf(),
    there: [
      ...[...TUNNEL, ...BLACKHOLES],
      /^-A FLANNEL-POSTRTG -s 10\.244\.0\.0\/16 .* -j MASQUERADE/m,
      /^-A FLANNEL-POSTRTG -s fd00:244::\/32 .* -j MASQUERADE/m,
    ],
    says: /stopped Weft[^]*removed the rules in iptables\n[^]*removed the rules in ip6tables\n/,
  },
  {
    what: 'with nftables and direct routes, of a killed Weft',
    name: 'cleandualkill',
    conf: dualConf({ EnableNFTables: true }, { DirectRouting: true }),
    end: 'SIGKILL',
    there: [
      ...[...DIRECT, ...BLACKHOLES],
      /^\t\tip saddr 10\.244\.0\.0\/16 .* masquerade/m,
      /^\t\tip6 saddr fd00:244::\/32 .* masquerade/m,
    ],
    says: /removed .*subnet\.env\n[^]*removed the rules in nftables \(ipv4\)\nremoved the rules in nftables \(ipv6\)\n/,
  },
] as const) {
  t.test(`weft cleanup removes both families, ${what}`, async (t) => {
    const lab = await makeDualBed(t, { name });
    const node = lab.node(1);
    // Beside the bridge's route to the same subnet, IPv4 has no blackhole route, but IPv6 has.
    await ipBatch(node.netns, ['address delete 10.244.1.1/24 dev cni0']);
    const flags = ['--ip-masq', '--ip-blackhole-route'];
    const leases = lab.nodes.map(dualLease);
    const weft = await startWeft(t, node, { leases, netConf: conf, flags });
    if (end !== undefined) await weft.end(end);
    const before = await everythingOf(node);
    for (const line of there) t.match(before, line);
    await cleanUp(t, weft, says);
    t.match(await everythingOf(node), /^fd00:244:1::\/64 dev cni0 /m, "the bridge's route stays");
  });
}

t.test('weft cleanup after a clean stop leaves everything of a flanneld that has taken over', async (t) => {
  const lab = await makeBed(t, { name: 'cleanheir' });
  const node = lab.node(1);
  const weft = await startWeft(t, node, { netConf: netConf({ DirectRouting: true }) });
  await weft.end();
  await ipBatch(node.netns, [
    'link delete flannel.1',
    'link add flannel.1 type bridge',
    'route replace 10.244.2.0/24 via 192.168.77.2',
  ]);
  const ours = async () => (await everythingOf(node)).split('\n').filter((line) => OURS.test(line));
  const before = await ours();
  const { code, stdout } = await runCommand(node, ['cleanup', '--run-dir', weft.runDir]);
  t.equal(code, 0);
  t.match(stdout, /^flannel\.1 now belongs to another process; leaving routes, rules and subnet\.env$/m);
  t.strictSame(await ours(), before);
  t.ok(existsSync(weft.subnetFile));
  t.notOk(existsSync(weft.runDir), 'the run directory is removed');
});

t.test('weft cleanup without the run directory names the device that is left', async (t) => {
  const lab = await makeBed(t, { name: 'cleanlost' });
  const { node, runDir, subnetFile, end } = await startWeft(t, lab.node(1));
  await end();
  await rm(runDir, { recursive: true });
  const command = ['cleanup', '--run-dir', runDir, '--subnet-file', subnetFile];
  const { code, stderr } = await runCommand(node, command);
  t.equal(code, 1);
  t.match(stderr, /flannel\.1 is left by a Weft .*: ip link delete flannel\.1$/m);
  await ipBatch(node.netns, ['link delete flannel.1']);
  t.equal((await runCommand(node, command)).code, 0);
  t.notMatch(await everythingOf(node), OURS);
  t.notOk(existsSync(subnetFile));
});

t.test('weft cleanup with nothing to do prints that', async (t) => {
  const lab = await makeBed(t, { name: 'cleannone' });
  const weft = await startWeft(t, lab.node(1));
  await cleanUp(t, weft, /stopped Weft/);
  await cleanUp(t, weft, /nothing to clean up/);
});

t.test('weft cleanup does not touch the Weft of another run directory', async (t) => {
  const lab = await makeBed(t, { name: 'cleanmine' });
  const node = lab.node(1);
  const [old, place] = [await makePlace(node, { name: 'old' }), await makePlace(node, { name: 'new' })];
  const first = startCommand(t, node, runFlags(old, node.iface));
  await first.waitFor(READY);
  await first.stop();
  await startCommand(t, node, runFlags(place, node.iface)).waitFor(READY);
  const { code } = await runCommand(node, ['cleanup', '--run-dir', old.runDir]);
  t.equal(code, 0);
  t.equal((await statusOf(place)).device.up, true, "the other's device still exists");
  t.ok(existsSync(place.subnetFile), 'and so does its subnet file');
});

t.test('weft cleanup of a killed Weft leaves the rules and subnet.env of another VNI', async (t) => {
  const lab = await makeBed(t, { name: 'cleanvni' });
  const node = lab.node(1);
  const lease = (vni: number) => ({
    ...node.lease(),
    BackendData: { ...node.lease().BackendData, VNI: vni },
  });
  const made = await makePlace(node, {
    ...{ name: 'dead', leases: [lease(2)], netConf: netConf({ VNI: 2, Port: 8473 }) },
  });
  const live = await makePlace(node, { name: 'live' });
  const dead = { ...made, subnetFile: live.subnetFile };
  const killed = startCommand(t, node, runFlags(dead, node.iface));
  await killed.waitFor(READY);
  await killed.stop('SIGKILL');
  const weft = startCommand(t, node, runFlags(live, node.iface));
  await weft.waitFor(READY);
  const rules = async () => (await node.exec(['iptables-save'])).stdout.match(/^-A FLANNEL.*$/gm);
  const before = await rules();
  t.ok(before);
  const { code, stdout } = await runCommand(node, ['cleanup', '--run-dir', dead.runDir]);
  t.equal(code, 0);
  t.match(
    stdout,
    `Weft of run directory ${live.runDir} (pid ${weft.pid}) still runs; leaving rules and subnet.env`,
  );
  t.strictSame(await rules(), before);
  t.ok(existsSync(live.subnetFile));
  t.notOk(existsSync(dead.runDir), 'the run directory is removed');
});

t.test(
  'weft cleanup does not touch a device that Weft did not create',
  await withKernelVxlan(),
  async (t) => {
    const lab = await makeBed(t, { name: 'cleanother' });
    const node = lab.node(1);
    await startKernel(node);
    const place = await makePlace(node);
    const { code } = await runCommand(node, ['cleanup', '--run-dir', place.runDir]);
    t.equal(code, 0);
    const { stdout } = await node.exec(['ip', '-4', 'route']);
    t.match(
      stdout,
      /10\.244\.2\.0\/24 via 10\.244\.2\.0 dev flannel\.1/,
      "the kernel's device and its routes",
    );
  },
);

t.test('weft status', async (t) => {
  const lab = await makeBed(t, { name: 'status', nodes: 3 });
  const node = lab.node(1);
  const weft = await startWeft(t, node);

  await t.test('weft status prints tables', async (t) => {
    const { code, stdout, stderr } = await runCommand(node, ['status', '--all', '--run-dir', weft.runDir]);
    t.equal(code, 0);
    t.equal(stderr, '');
    t.match(stdout, new RegExp(`^weft \\S+, pid ${weft.process.pid}, up 00:00:`));
    t.match(stdout, /^ {2}backend +vxlan, VNI 1, UDP port 8472$/m);
    t.match(stdout, /^ {2}device +flannel\.1 up, 10\.244\.1\.0\/32, 02:00:00:00:00:01, MTU 1450$/m);
    t.match(stdout, /^ {2}offload +level (none|gso|bpf), 1 worker/m);
    t.match(stdout, /^ {2}10\.244\.3\.0\/24 +192\.168\.77\.3 +\S+ +\d+\/\d+ +\d+\/\d+ +(bpf|userspace)$/m);
    t.match(stdout, /^ {2}rx_drop_unknown_vni +0$/m);
  });

  await t.test('weft status --json prints the same as one object', async (t) => {
    const { code, stdout } = await runCommand(node, ['status', '--run-dir', weft.runDir, '--json']);
    t.equal(code, 0);
    const { uptimeSeconds, ...printed } = JSON.parse(stdout);
    t.type(uptimeSeconds, 'number');
    const { uptimeSeconds: later, ...asked } = await statusOf(weft);
    t.strictSame(printed, asked);
  });

  await t.test(
    'weft status without a running Weft exits with 1 and one line that names the directory',
    async (t) => {
      await weft.end();
      const { code, stdout, stderr } = await runCommand(node, ['status', '--run-dir', weft.runDir]);
      t.equal(code, 1);
      t.equal(stdout, '');
      t.match(stderr, new RegExp(`^weft: --run-dir ${weft.runDir}: Weft is not running .*\n$`));
    },
  );
});
