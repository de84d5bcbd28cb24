/**
 * Pods made by real CNI plugins, with the conflist from deploy/cni.
 *
 *     pod1 ── cni0, node1 ──┬── node2, cni0 ── pod2      10.244.1.2, 10.244.2.2: the first addresses of host-local
 *                           └── outside                  192.168.77.3: no lease, no route to any pod
 */

import { chmod, mkdir, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import t, { type Test } from 'tap';
import { CommandError, exec } from '../../../lab/exec.js';
import { ipJson } from '../../../lab/ip.js';
import { netConf } from '../../../lab/leases.js';
import { LabProcess } from '../../../lab/process.js';
import { makeBed, startWefts } from '../support/bed.js';
import { CniNode, type Conflist, FLANNEL_CONFLIST, INSTALL_CONFLIST, readConflist } from '../support/cni.js';
import { answered } from '../support/pings.js';
import { saved } from '../support/rules.js';
import { networkOf } from '../support/state.js';

const PORT = 7777;
const HOST_PORT = 8080;
const PORT_MAPPING = { hostPort: HOST_PORT, containerPort: PORT, protocol: 'tcp' } as const;

/** Starts a server that tells each client its source address. */
async function serve(t: Test, { netns }: { readonly netns: string }): Promise<void> {
  const script = `require('node:net').createServer((s) => s.end(s.remoteAddress)).listen(${PORT}, '0.0.0.0', () => console.log('listening'))`;
  const server = new LabProcess([process.execPath, '-e', script], { netns });
  t.teardown(() => server.stop());
  await server.waitFor(/listening/);
}

/** Returns the source address that a server sees of a connection from here. */
async function seenFrom({ netns }: { readonly netns: string }, server: string, port = PORT): Promise<string> {
  const script = `require('node:net').connect(${port}, '${server}').pipe(process.stdout)`;
  return (await exec([process.execPath, '-e', script], { netns, timeoutMs: 5000 })).stdout;
}

for (const mode of ['iptables', 'nftables'] as const) {
  t.test(`pods of CNI plugins in a cluster with --ip-masq by ${mode}`, async (t) => {
    const lab = await makeBed(t, { name: `cni-${mode}`, nodes: 3, podsPerNode: 0 });
    const [one, two, outside] = [lab.node(1), lab.node(2), lab.node(3)];
    const wefts = await startWefts(t, [one, two], {
      netConf: Object.assign(netConf(), { EnableNFTables: mode === 'nftables' }),
      leases: [one.lease(), two.lease()],
      flags: ['--ip-masq'],
    });
    const cniNodes: CniNode[] = [];
    for (const { node, subnetFile } of wefts) {
      const conflist = `${node.dir}/net.d/10-weft.conflist`;
      await exec([INSTALL_CONFLIST, subnetFile, conflist]);
      cniNodes.push(await CniNode.create(node, conflist));
    }
    const [here, there] = cniNodes;
    const pod1 = await here.add(t, 'pod1', [PORT_MAPPING]);
    const pod2 = await there.add(t, 'pod2');
    await Promise.all([pod1, pod2, outside].map((place) => serve(t, place)));

    await t.test("a pod gets an address of its node's subnet, and the tunnel's MTU", async (t) => {
      for (const [pod, address] of [
        [pod1, '10.244.1.2/24'],
        [pod2, '10.244.2.2/24'],
      ] as const) {
        t.strictSame(pod.addresses, [address]);
        t.match(await ipJson(pod.netns, 'link', 'show', 'eth0'), [{ mtu: one.podMtu }]);
        t.match(await ipJson(pod.netns, 'route', 'show', '10.244.0.0/16'), [{ dev: 'eth0' }]);
      }
    });

    await t.test("pods of two nodes see each other's own addresses", async (t) => {
      t.equal(await seenFrom(pod1, pod2.address), pod1.address);
      t.equal(await seenFrom(pod2, pod1.address), pod2.address);
      await answered(t, pod1, pod2.address, 'with packets as large as the MTU', {
        size: one.podMtu - 28,
        dontFragment: true,
      });
    });

    await t.test('traffic out of the cluster is masqueraded', async (t) => {
      t.equal(await seenFrom(pod1, outside.address), one.address);
      t.equal(await seenFrom(pod2, outside.address), two.address);
    });

    await t.test("a pod's host port is reachable", async (t) => {
      t.equal(await seenFrom(outside, one.address, HOST_PORT), outside.address, 'from outside');
      t.equal(await seenFrom(two, one.address, HOST_PORT), two.address, 'from the other node');
      t.equal(await seenFrom(pod2, one.address, HOST_PORT), two.address, "from the other node's pod");
      t.equal(await seenFrom(one, '127.0.0.1', HOST_PORT), '10.244.1.1', 'from the node itself');
      t.equal(await seenFrom(pod1, one.address, HOST_PORT), '10.244.1.1', 'from the pod itself');
    });

    await t.test('the bridge sends a frame back through the port it came from (hairpin)', async (t) => {
      const ports = await ipJson(one.netns, '-details', 'link', 'show', 'master', 'cni0');
      t.match(ports, [{ linkinfo: { info_slave_data: { hairpin: true } } }]);
    });

    await t.test('a deleted pod leaves no link, rule or address', async (t) => {
      const state = async () => ({
        network: await networkOf(one),
        rules: await saved(one, 'nft', 'nat'),
        reserved: await here.reserved(),
      });
      const before = await state();
      const pod = await here.add(t, 'late', [{ ...PORT_MAPPING, hostPort: HOST_PORT + 1 }]);
      const during = await state();
      t.equal(during.network.length, before.network.length + 1, 'its link');
      t.ok(during.rules.length > before.rules.length, 'the rules of its host port');
      t.strictSame(during.reserved.sort(), [pod1.address, pod.address].sort(), 'its address');
      await here.delete(pod);
      t.strictSame(await state(), before);
      await here.delete(pod);
      t.strictSame(await state(), before, 'a second DEL is no error');
    });
  });
}

const V4 = ['FLANNEL_NETWORK=10.244.0.0/16', 'FLANNEL_SUBNET=10.244.77.129/25'];
const V6 = ['FLANNEL_IPV6_NETWORK=2001:cafe:42::/56', 'FLANNEL_IPV6_SUBNET=2001:cafe:42:f:800::1/69'];
const REST = ['FLANNEL_MTU=1430', 'FLANNEL_IPMASQ=true'];

/** Returns a directory with a subnet.env of these lines, and a function that runs the script on it. */
async function makeInstall(t: Test, lines: readonly string[]) {
  const dir = t.testdir({ 'subnet.env': `${lines.join('\n')}\n` });
  const [subnetEnv, conflist] = [`${dir}/subnet.env`, `${dir}/net.d/10-weft.conflist`];
  return { dir, subnetEnv, conflist, install: () => exec([INSTALL_CONFLIST, subnetEnv, conflist]) };
}

t.test('install-conflist', async (t) => {
  await t.test(
    "install-conflist makes the same bridge configuration of subnet.env as flannel's plugin",
    async (t) => {
      const range4 = [{ subnet: '10.244.77.128/25' }];
      const range6 = [{ subnet: '2001:cafe:42:f:800:0:0:0/69' }];
      const route4 = { dst: '10.244.0.0/16' };
      const route6 = { dst: '2001:cafe:42:0:0:0:0:0/56' };
      for (const { what, lines, ipMasq = false, ranges, routes } of [
        { what: 'IPv4', lines: [...V4, ...REST], ranges: [range4], routes: [route4] },
        { what: 'IPv6', lines: [...V6, ...REST], ranges: [range6], routes: [route6] },
        {
          what: 'both, without masquerading by Weft',
          lines: [...V4, ...V6, 'FLANNEL_MTU=1430', 'FLANNEL_IPMASQ=false'],
          ipMasq: true,
          ranges: [range4, range6],
          routes: [route4, route6],
        },
      ]) {
        const { conflist, install } = await makeInstall(t, lines);
        await install();
        const bridge = {
          ...{ type: 'bridge', bridge: 'cni0', hairpinMode: true, isDefaultGateway: true, ipMasq, mtu: 1430 },
          ipam: { type: 'host-local', ranges, routes },
        };
        const portmap = { type: 'portmap', capabilities: { portMappings: true } };
        const whole = { name: 'cbr0', cniVersion: '0.3.1', plugins: [bridge, portmap] };
        t.strictSame(await readConflist(conflist), whole, what);
      }
    },
  );

  await t.test(
    "install-conflist names network and port mapping as flannel's conflist does, so it can replace it",
    async (t) => {
      const { conflist, install } = await makeInstall(t, [...V4, ...REST]);
      await install();
      const [own, flannel] = await Promise.all([conflist, FLANNEL_CONFLIST].map(readConflist));
      const shared = (list?: Conflist) => [list?.name, list?.cniVersion, ...(list?.plugins.slice(1) ?? [])];
      t.strictSame(shared(own), shared(flannel));
    },
  );

  await t.test(
    'install-conflist makes a new file readable for all and keeps the mode of an existing one',
    async (t) => {
      const { conflist, install } = await makeInstall(t, [...V4, ...REST]);
      await install();
      t.equal((await stat(conflist)).mode & 0o777, 0o644);
      await chmod(conflist, 0o600);
      await install();
      t.equal((await stat(conflist)).mode & 0o777, 0o600);
    },
  );

  await t.test('install-conflist prints an error in one line and leaves the old file', async (t) => {
    const v4 = V4.join('\n');
    for (const { text, says } of [
      { text: undefined, says: /subnet\.env: no such file: Weft writes it/ },
      { text: '', says: /subnet\.env: neither FLANNEL_SUBNET nor FLANNEL_IPV6_SUBNET: / },
      { text: V4[0], says: /subnet\.env: FLANNEL_SUBNET is missing, an IPv4 address/ },
      { text: V4[1], says: /subnet\.env: FLANNEL_NETWORK is missing, an IPv4 address/ },
      { text: `${v4}\nFLANNEL_IPMASQ=true`, says: /subnet\.env: FLANNEL_MTU is missing, / },
      { text: `${v4}\nFLANNEL_MTU=1450`, says: /subnet\.env: FLANNEL_IPMASQ is missing, true or false/ },
      { text: `${v4}\nFLANNEL_MTU=many`, says: /subnet\.env: FLANNEL_MTU=many is not a number of bytes/ },
      {
        text: `${v4}\nFLANNEL_MTU=1450\nFLANNEL_IPMASQ=yes`,
        says: /FLANNEL_IPMASQ=yes is not true or false/,
      },
      {
        text: `${V4[0]}\nFLANNEL_SUBNET=10.244.1.256/24`,
        says: /FLANNEL_SUBNET=10\.244\.1\.256\/24 is not an IPv4 address with prefix length/,
      },
      {
        text: `${V6[0]}\nFLANNEL_IPV6_SUBNET=fd00::1/129`,
        says: /FLANNEL_IPV6_SUBNET=fd00::1\/129 is not an IPv6 address with prefix length/,
      },
      {
        text: `${V6[0]}\nFLANNEL_IPV6_SUBNET=1:2:3:4::5:6:7:8:9/64`,
        says: /FLANNEL_IPV6_SUBNET=1:2:3:4::5:6:7:8:9\/64 is not an IPv6 address with prefix length/,
      },
    ]) {
      const { dir, subnetEnv, conflist, install } = await makeInstall(t, []);
      await mkdir(`${dir}/net.d`);
      await writeFile(conflist, 'the old one');
      await (text === undefined ? rm(subnetEnv) : writeFile(subnetEnv, `${text}\n`));
      const error = await install().then(
        () => undefined,
        (reason: unknown) => reason,
      );
      if (!(error instanceof CommandError)) throw new Error(`${says}: install-conflist found nothing wrong`);
      t.equal(error.code, 1);
      t.match(error.stderr, says);
      t.match(error.stderr, /^install-conflist: [^\n]+\n$/, 'one line');
      t.equal(await readFile(conflist, 'utf8'), 'the old one');
      t.strictSame(await readdir(`${dir}/net.d`), ['10-weft.conflist'], 'no temporary file is left');
    }
  });

  await t.test('a pod with IPv6 gets an address and a route of each family', async (t) => {
    const lab = await makeBed(t, { name: 'cni-dual', nodes: 1, podsPerNode: 0, ipv6: true });
    const { conflist, install } = await makeInstall(t, [...V4, ...V6, ...REST]);
    await install();
    const node = await CniNode.create(lab.node(1), conflist);
    const pod = await node.add(t, 'dual', [], { ipv6: true });
    t.strictSame(pod.addresses, ['10.244.77.130/25', '2001:cafe:42:f:800::2/69']);
    t.match(await ipJson(pod.netns, '-6', 'route', 'show', '2001:cafe:42::/56'), [
      { gateway: '2001:cafe:42:f:800::1', dev: 'eth0' },
    ]);
  });
});
