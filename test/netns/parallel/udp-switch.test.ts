/** Changes of backend by net-conf and restart; what backend udp refuses to start beside; how it ends. */

import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import t from 'tap';
import { startKernel } from '../../../lab/dataplanes/kernel.js';
import { ipBatch } from '../../../lab/ip.js';
import { NETWORK, netConf, udpConf } from '../../../lab/leases.js';
import type { LabNode } from '../../../lab/node.js';
import { until } from '../../../lab/until.js';
import { HandmadePeer, UDP_PEER } from '../peer/handmade.js';
import { makeBed, startWeft, startWefts, withKernelVxlan } from '../support/bed.js';
import { runCommand } from '../support/cli.js';
import { answered } from '../support/pings.js';
import { refused } from '../support/refusal.js';
import { networkOf, routesOf, statusOf } from '../support/state.js';

/** Returns a node's network without its UDP sockets, some of which have ports that the kernel chose. */
async function lasting(node: LabNode): Promise<string[]> {
  return (await networkOf(node)).filter((line) => !line.startsWith('UNCONN'));
}

/** Returns true if a node has nothing that either backend creates. */
async function isGone(node: LabNode): Promise<boolean> {
  const { stdout } = await node.exec(['sh', '-c', 'ip -o link; ip -4 route; ip neigh; ss -Hlun']);
  return !/flannel|:8472|:8285/.test(stdout);
}

for (const signal of ['SIGTERM', 'SIGKILL'] as const) {
  t.test(
    `a change from vxlan to udp and back, ended by ${signal}, leaves nothing of the other backend`,
    async (t) => {
      const lab = await makeBed(t, { name: `switch${signal.toLowerCase()}` });
      const node = lab.node(1);
      const bare = await lasting(node);
      const states: string[][] = [];
      for (const { conf, mtu, others } of [
        { conf: netConf(), mtu: 1450, others: /flannel0|8285/ },
        { conf: udpConf(), mtu: 1472, others: /flannel\.1|8472|via 10\.244|PERMANENT/ },
        { conf: netConf(), mtu: 1450, others: /flannel0|8285/ },
      ]) {
        const wefts = await startWefts(t, lab.nodes, { netConf: conf });
        await answered(t, lab.pod(1), lab.pod(2).address, `${conf.Backend.Type}: pods reach each other`);
        t.notMatch((await networkOf(node)).join('\n'), others, 'nothing of the other backend');
        t.match(await readFile(wefts[0].subnetFile, 'utf8'), `FLANNEL_MTU=${mtu}\n`);
        states.push(await lasting(node));
        for (const weft of wefts) await weft.end(signal);
      }
      t.strictSame(states[2], states[0], 'vxlan sets up the same before and after udp');
      await runCommand(node, ['cleanup', '--run-dir', `${node.dir}/run`]);
      t.strictSame(await lasting(node), bare, 'weft cleanup leaves the node as before');
    },
  );
}

t.test('backend udp refuses to start beside', async (t) => {
  const lab = await makeBed(t, { name: 'udprefusals' });
  const node = lab.node(1);
  for (const [what, lines, line] of [
    [
      'a flannel0 that is a TUN',
      ['tuntap add flannel0 mode tun'],
      /flannel0 exists: it is a tun\/tap device of another process.*: ip link delete flannel0$/m,
    ],
    [
      'a flannel0 of another kind',
      ['link add flannel0 type bridge'],
      /flannel0 exists: it is a bridge device.*: ip link delete flannel0$/m,
    ],
    [
      'a TAP of vxlan for the same network',
      ['tuntap add flannel.7 mode tap', 'address add 10.244.1.0/32 dev flannel.7'],
      /flannel\.7 carries 10\.244\.0\.0\/16 already: it is a tun\/tap device.*: ip link delete flannel\.7$/m,
    ],
  ] as const) {
    await t.test(what, async (t) => {
      await ipBatch(node.netns, lines);
      await refused(t, node, { netConf: udpConf(), line });
      await node.exec([...'ip link delete'.split(' '), lines[0].split(' ')[2]]);
    });
  }

  await t.test('a process that uses its port', async (t) => {
    const peer = await HandmadePeer.start(node, lab.node(2), {}, UDP_PEER);
    await refused(t, node, {
      netConf: udpConf(),
      line: /UDP port 8285 of 192\.168\.77\.1 is taken by another process; .*Backend\.Port/,
    });
    await peer.stop();
  });

  await t.test('IPv6', (t) =>
    refused(t, node, {
      netConf: { ...udpConf(), EnableIPv6: true },
      line: /net-conf\.json:\d+ .*EnableIPv6 is true: backend type udp supports IPv4 only; set it to false/,
    }),
  );

  await t.test('a Weft process of either backend for the same network', async (t) => {
    const running = await startWeft(t, node, { netConf: udpConf() });
    await refused(t, node, {
      netConf: udpConf({ Port: 8286 }),
      line: /Weft already runs here \(pid \d+, run directory /,
    });
    await refused(t, node, {
      netConf: netConf(),
      line: /Weft already runs here \(pid \d+, run directory /,
    });
    await running.end();
    const vxlan = await startWeft(t, node);
    await refused(t, node, {
      netConf: udpConf(),
      line: /Weft already runs here \(pid \d+, run directory /,
    });
    await vxlan.end();
  });
});

t.test(
  'backend udp refuses to start beside a flannel.1 that flanneld left',
  await withKernelVxlan(),
  async (t) => {
    const lab = await makeBed(t, { name: 'udpkernel' });
    const node = lab.node(1);
    const kernel = await startKernel(node);
    await refused(t, node, {
      netConf: udpConf(),
      line: /flannel\.1 carries 10\.244\.0\.0\/16 already: it is a kernel vxlan device \(VNI 1, UDP port 8472\).*; stop flanneld, then remove the device: ip link delete flannel\.1$/m,
      flags: ['--adopt'],
    });
    await kernel.stop();
  },
);

t.test('backend udp leaves a foreign route to Network in place and logs it', async (t) => {
  const lab = await makeBed(t, { name: 'udproute' });
  const node = lab.node(1);
  await ipBatch(node.netns, [`route add ${NETWORK} via 192.168.77.2 dev ${node.iface}`]);
  const weft = await startWeft(t, node, { netConf: udpConf() });
  t.match(weft.process.stderr, /^W.*\] a route to 10\.244\.0\.0\/16 exists already and stays/m);
  t.strictSame(await routesOf(node, node.iface), [
    `10.244.0.0/16 via 192.168.77.2 dev ${node.iface}`,
    `192.168.77.0/24 dev ${node.iface} proto kernel scope link src 192.168.77.1`,
  ]);
  t.match(await weft.statusText(), /^ {2}10\.244\.2\.0\/24 at [^]*?^ {6}MISSING: route$/m);
});

t.test('weft cleanup removes device, route and files of backend udp', async (t) => {
  const lab = await makeBed(t, { name: 'udpcleanup' });
  const node = lab.node(1);
  for (const [what, end, says] of [
    ['while it runs', undefined, /stopped Weft/],
    ['after kill -9', 'SIGKILL', /removed .*subnet\.env/],
  ] as const) {
    await t.test(what, async (t) => {
      const weft = await startWeft(t, node, { netConf: udpConf() });
      if (end !== undefined) await weft.end(end);
      const { code, stdout, stderr } = await runCommand(node, ['cleanup', '--run-dir', weft.runDir]);
      t.strictSame({ code, stderr }, { code: 0, stderr: '' });
      t.match(stdout, says);
      t.ok(await isGone(node), 'no device, route or socket');
      t.notOk(existsSync(weft.subnetFile), 'no subnet file');
      t.notOk(existsSync(weft.runDir), 'no run directory');
    });
  }
});

t.test('backend udp recreates a deleted device and its route', async (t) => {
  const lab = await makeBed(t, { name: 'udpdeleted' });
  const node = lab.node(1);
  const [weft] = await startWefts(t, lab.nodes, { netConf: udpConf() });
  await ipBatch(node.netns, ['link delete flannel0']);
  await until('the repair', async () => (await statusOf(weft)).repairs.device === 1);
  await answered(t, lab.pod(1), lab.pod(2).address);
  await ipBatch(node.netns, ['route delete 10.244.0.0/16 dev flannel0']);
  await until('the repair', async () => (await statusOf(weft)).repairs.route === 1);
  await answered(t, lab.pod(1), lab.pod(2).address);
});
