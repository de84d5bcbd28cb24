/** The next start of Weft: it adopts the device that the last run left. */

import { rm } from 'node:fs/promises';
import t, { type Test } from 'tap';
import type { WeftOptions } from '../../lab/dataplanes/weft.js';
import { ipBatch, ipJson } from '../../lab/ip.js';
import { netConf } from '../../lab/leases.js';
import type { LabNode } from '../../lab/node.js';
import { until } from '../../lab/until.js';
import { makeBed, startWeft, startWefts } from './support/bed.js';
import { dualConf, dualLease, makeDualBed } from './support/dual-bed.js';
import { answered } from './support/pings.js';
import { peerState, routesOf, stateFor, statusOf } from './support/state.js';

/** Returns the interface index of a device; undefined if there is none. */
async function indexOf(node: LabNode, device = 'flannel.1'): Promise<number | undefined> {
  const links = await ipJson<{ ifname: string; ifindex: number }[]>(node.netns, 'link', 'show');
  return links.find(({ ifname }) => ifname === device)?.ifindex;
}

/** Runs an action, and returns the lines of `ip monitor` that report the removal of an object of these devices. */
async function removalsDuring(
  t: Test,
  node: LabNode,
  devices: RegExp,
  action: () => Promise<void>,
): Promise<string[]> {
  const monitor = node.start(['ip', 'monitor', 'link', 'address', 'neigh', 'route'], { name: 'ip monitor' });
  t.teardown(() => monitor.stop('SIGKILL'));
  // A change of the loopback device shows that the monitor listens; it may not do so at once.
  await until('the monitor listens', async () => {
    await ipBatch(node.netns, ['address add 127.9.9.9/32 dev lo', 'address delete 127.9.9.9/32 dev lo']);
    return monitor.stdout.includes('127.9.9.9');
  });
  await action();
  await node.exec(['sh', '-c', 'ip address add 127.9.9.10/32 dev lo']);
  await monitor.waitFor(/127\.9\.9\.10/);
  await monitor.stop();
  // The kernel itself drops its neighbours of multicast groups (NOARP).
  return monitor.stdout
    .split('\n')
    .filter((line) => line.startsWith('Deleted') && devices.test(line) && !line.includes('NOARP'));
}

for (const signal of ['SIGTERM', 'SIGKILL'] as const) {
  t.test(`a start after ${signal} adopts the device and removes nothing that is right`, async (t) => {
    const lab = await makeDualBed(t, { name: `again${signal.toLowerCase()}` });
    const node = lab.node(1);
    const options = { leases: lab.nodes.map(dualLease), netConf: dualConf() };
    await startWeft(t, lab.node(2), options);
    const first = await startWeft(t, node, options);
    const before = await indexOf(node);
    const removals = await removalsDuring(t, node, /flannel/, async () => {
      await first.end(signal);
      t.equal(await indexOf(node), before, 'the device stays');
      await startWeft(t, node, options);
    });
    t.strictSame(removals, []);
    t.equal(await indexOf(node), before, 'the new process has the same device');
    await answered(t, lab.pod(1), lab.pod(2).address);
    const { repairs, ipv6 } = await statusOf(first);
    t.strictSame({ repairs, repairs6: ipv6?.repairs }, { repairs: {}, repairs6: {} }, 'nothing to repair');
  });
}

t.test('a start adopts the device even if the run directory is lost', async (t) => {
  const lab = await makeBed(t, { name: 'lostdir' });
  const node = lab.node(1);
  const first = await startWeft(t, node);
  const before = await indexOf(node);
  await first.end('SIGKILL');
  await rm(first.runDir, { recursive: true });
  await startWeft(t, node);
  t.equal(await indexOf(node), before);
});

t.test('a start adopts a device without its alias that is in the journal', async (t) => {
  const lab = await makeBed(t, { name: 'noalias' });
  const node = lab.node(1);
  const first = await startWeft(t, node);
  const before = await indexOf(node);
  await first.end();
  await node.exec(['ip', 'link', 'set', 'dev', 'flannel.1', 'alias', '']);
  await startWeft(t, node);
  t.equal(await indexOf(node), before);
  const { stdout } = await node.exec(['ip', 'link', 'show', 'dev', 'flannel.1']);
  t.match(stdout, /alias weft/, 'the alias is restored');
});

t.test('a start removes a left device that was renamed', async (t) => {
  const lab = await makeBed(t, { name: 'renamed' });
  const node = lab.node(1);
  const first = await startWeft(t, node);
  await first.end();
  await ipBatch(node.netns, ['link set dev flannel.1 down', 'link set dev flannel.1 name old0']);
  await startWeft(t, node);
  t.equal(await indexOf(node, 'old0'), undefined);
  t.type(await indexOf(node), 'number');
});

t.test('a start applies the leases that changed while no Weft ran', async (t) => {
  const lab = await makeBed(t, { name: 'changed', nodes: 3 });
  const node = lab.node(1);
  const [one, two, three] = lab.nodes.map((member) => member.lease());
  const first = await startWeft(t, node, { leases: [one, two] });
  await first.end();
  await node.exec(['ip', 'link', 'set', 'dev', 'flannel.1', 'mtu', '1300']);
  const weft = await startWeft(t, node, { leases: [one, three] });
  t.strictSame(await peerState(node, weft), stateFor([three]), 'the old peer is gone, the new one is there');
  t.equal((await statusOf(weft)).device.mtu, 1450, 'the MTU is restored');
});

t.test('a start removes the direct routes of peers that are gone', async (t) => {
  const lab = await makeBed(t, { name: 'olddirect', nodes: 3 });
  const node = lab.node(1);
  const conf = netConf({ DirectRouting: true });
  const [one, two, three] = lab.nodes.map((member) => member.lease());
  const first = await startWeft(t, node, { netConf: conf, leases: [one, two, three] });
  await first.end('SIGKILL');
  const direct = async () =>
    (await node.exec(['ip', '-4', 'route'])).stdout.match(/^10\.244\.\d\.0\/24 via 192\S+/gm);
  t.strictSame(await direct(), ['10.244.2.0/24 via 192.168.77.2', '10.244.3.0/24 via 192.168.77.3']);
  await startWeft(t, node, { netConf: conf, leases: [one, three] });
  t.strictSame(await direct(), ['10.244.3.0/24 via 192.168.77.3']);
});

for (const { what, before, after, same } of [
  { what: 'another offload level', before: ['--offload=none'], after: ['--offload=gso'], same: true },
  { what: 'a lower offload level', before: ['--offload=gso'], after: ['--offload=none'], same: true },
  { what: 'more workers', before: [], after: ['--workers=2'], same: false },
]) {
  t.test(
    `a start with ${what} ${same ? 'keeps' : 'replaces'} the device, and pods reach each other`,
    async (t) => {
      const lab = await makeBed(t, { name: `again${what.replaceAll(' ', '')}` });
      const [node, other] = lab.nodes;
      await startWeft(t, other);
      const first = await startWeft(t, node, { flags: before });
      const index = await indexOf(node);
      await first.end();
      await startWeft(t, node, { flags: after });
      t.equal((await indexOf(node)) === index, same);
      await answered(t, lab.pod(1), lab.pod(2).address);
    },
  );
}

t.test('a start with another backend removes the device of the last run', async (t) => {
  const lab = await makeBed(t, { name: 'otherbackend' });
  const node = lab.node(1);
  const start = async (options: WeftOptions) => await startWeft(t, node, options);
  for (const [conf, device, gone] of [
    [{ Network: '10.244.0.0/16', Backend: { Type: 'udp' } }, 'flannel0', 'flannel.1'],
    [netConf({ VNI: 7 }), 'flannel.7', 'flannel0'],
  ] as const) {
    const first = await start({ netConf: netConf() });
    await first.end();
    const leases = [{ Subnet: node.lease().Subnet, PublicIP: node.lease().PublicIP }];
    const next = await start({ netConf: conf, leases });
    t.type(await indexOf(node, device), 'number');
    t.equal(await indexOf(node, gone), undefined);
    await next.end();
  }
});

t.test('a start with the udp backend keeps its route', async (t) => {
  const lab = await makeBed(t, { name: 'udpagain', overhead: 28 });
  const conf = { Network: '10.244.0.0/16', Backend: { Type: 'udp' } };
  const [node] = lab.nodes;
  const [first] = await startWefts(t, lab.nodes, { netConf: conf });
  const removals = await removalsDuring(t, node, /flannel0/, async () => {
    await first.end();
    const next = await startWeft(t, node, { netConf: conf });
    t.notMatch(next.process.stderr, /exists already/);
  });
  t.strictSame(removals, []);
  await answered(t, lab.pod(1), lab.pod(2).address);
});

t.test('a start refuses a persistent device of another program', async (t) => {
  const lab = await makeBed(t, { name: 'foreigntun' });
  const node = lab.node(1);
  await ipBatch(node.netns, ['tuntap add flannel.1 mode tap']);
  await t.rejects(startWeft(t, node), /exists: it is a tun\/tap device/);
  t.type(await indexOf(node), 'number', 'it stays');
  t.strictSame(await routesOf(node), []);
});
