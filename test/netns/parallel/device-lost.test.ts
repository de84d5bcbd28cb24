/** The device is deleted, renamed or moved at any time: Weft recreates it, or ends with the reason. */

import { chmod, mkdir, readFile, writeFile } from 'node:fs/promises';
import t from 'tap';
import { ready, spawnWeft, type WeftDataplane } from '../../../lab/dataplanes/weft.js';
import { exec, succeeds } from '../../../lab/exec.js';
import { ipBatch } from '../../../lab/ip.js';
import { madeUpLease, udpConf, writeLeases } from '../../../lab/leases.js';
import type { LabNode } from '../../../lab/node.js';
import { until } from '../../../lab/until.js';
import { makeBed, startWeft, startWefts } from '../support/bed.js';
import { answered } from '../support/pings.js';
import { deviceOf, peerState, stateFor, statusOf } from '../support/state.js';

function hasDevice({ netns }: LabNode, name = 'flannel.1'): Promise<boolean> {
  return succeeds(['ip', 'link', 'show', name], { netns });
}

function repairsOf(weft: WeftDataplane): Promise<Record<string, number>> {
  return statusOf(weft).then(({ repairs }) => repairs);
}

t.test('Weft recreates the device however often it is deleted', async (t) => {
  const lab = await makeBed(t, { name: 'again' });
  const [weft] = await startWefts(t, lab.nodes);
  const { node } = weft;
  for (let times = 0; times < 6; times++) {
    await until('a device', () => hasDevice(node));
    await ipBatch(node.netns, ['link delete flannel.1']);
  }
  const wanted = stateFor([lab.node(2).lease()]);
  const whole = async () =>
    JSON.stringify(await peerState(node, weft).catch(() => null)) === JSON.stringify(wanted);
  await until('the wanted state', whole, { timeoutMs: 5000 }).catch(() => undefined);
  t.strictSame(await peerState(node, weft), wanted);
  await answered(t, lab.pod(1), lab.pod(2).address);
  t.ok(((await repairsOf(weft)).device ?? 0) > 0, 'counted');
});

t.test('Weft recreates a device that is deleted while leases are applied', async (t) => {
  const lab = await makeBed(t, { name: 'amid' });
  const node = lab.node(1);
  // An `ip` that delays its batches while a file exists.
  const bin = `${node.dir}/bin`;
  await mkdir(bin);
  const real = (await exec(['sh', '-c', 'command -v ip'])).stdout.trim();
  await writeFile(
    `${bin}/ip`,
    `#!/bin/sh\ncase "$*" in *-batch*) if [ -e ${node.dir}/hold ]; then echo >> ${node.dir}/held; while [ -e ${node.dir}/hold ]; do sleep 0.01; done; fi;; esac\nexec ${real} "$@"\n`,
  );
  await chmod(`${bin}/ip`, 0o755);
  const weft = await startWeft(t, node, { env: { ...process.env, PATH: `${bin}:${process.env.PATH}` } });
  await writeFile(`${node.dir}/hold`, '');
  const leases = [node.lease(), ...node.peers(), madeUpLease(9)];
  await writeLeases(weft.leaseFile, leases);
  await until('the batch', () => succeeds(['test', '-e', `${node.dir}/held`]));
  await ipBatch(node.netns, ['link delete flannel.1']);
  await weft.process.waitFor(/cannot be read any more/);
  const { nextReason } = await until('a status without a dataplane', async () => {
    const { offload } = await statusOf(weft);
    return offload.rung === 'gso' && offload;
  });
  t.equal(nextReason, 'the device is being set up again');
  await exec(['rm', `${node.dir}/hold`]);
  const wanted = stateFor(leases.slice(1));
  const whole = async () =>
    JSON.stringify(await peerState(node, weft).catch(() => null)) === JSON.stringify(wanted);
  await until('the wanted state', whole, { timeoutMs: 5000 }).catch(() => undefined);
  t.strictSame(await peerState(node, weft), wanted);
  t.strictSame(await weft.end(), { code: 0, signal: null });
});

t.test('Weft recreates a device that is deleted during the start', async (t) => {
  const lab = await makeBed(t, { name: 'early' });
  const node = lab.node(1);
  const weft = await spawnWeft(node);
  t.teardown(() => weft.stop());
  await until('a deleted device', () =>
    succeeds(['ip', 'link', 'delete', 'flannel.1'], { netns: node.netns }),
  );
  await ready(weft);
  // A device that is deleted just before the node is ready is created again afterwards.
  await until('another device', async () => (await repairsOf(weft)).device === 1);
  t.strictSame(await peerState(node, weft), stateFor([lab.node(2).lease()]));
  t.strictSame(await weft.end(), { code: 0, signal: null });
});

t.test(
  'backend udp restores device and route when the route was replaced before the device was deleted',
  async (t) => {
    const lab = await makeBed(t, { name: 'elsewhere' });
    const [weft] = await startWefts(t, lab.nodes, { netConf: udpConf() });
    await ipBatch(weft.node.netns, ['route replace 10.244.0.0/16 via 192.168.77.9', 'link delete flannel0']);
    await until('another device', async () => (await repairsOf(weft)).device === 1);
    await answered(t, lab.pod(1), lab.pod(2).address);
  },
);

t.test('Weft recreates a device that is renamed or moved to another namespace', async (t) => {
  for (const [backend, device] of [
    ['vxlan', 'flannel.1'],
    ['udp', 'flannel0'],
  ] as const) {
    const lab = await makeBed(t, { name: `away${backend}` });
    const [weft] = await startWefts(t, lab.nodes, backend === 'udp' ? { netConf: udpConf() } : {});
    const { node } = weft;
    const before = await deviceOf(node, device);
    const harms = [`link set ${device} name elsewhere`, `link set ${device} netns ${lab.pod(1).netns}`];
    for (const [index, harm] of harms.entries()) {
      await ipBatch(node.netns, [`link set ${device} down`, harm]);
      await until('another device', async () => (await repairsOf(weft)).device === index + 1);
      await until('its state', async () => (await deviceOf(node, device)).up);
      t.match(await deviceOf(node, device), { ...before, addresses: [before.addresses[0]] }, harm);
      t.notOk(await hasDevice(node, 'elsewhere'), 'the old device is removed');
      await answered(t, lab.pod(1), lab.pod(2).address, harm);
    }
  }
});

t.test(
  'Weft ends, and leaves a foreign device alone, when that takes the name of its renamed device',
  async (t) => {
    const lab = await makeBed(t, { name: 'changeling' });
    const weft = await startWeft(t, lab.node(1));
    const { netns } = weft.node;
    await ipBatch(netns, [
      'link set flannel.1 down',
      'link set flannel.1 name elsewhere',
      'link add flannel.1 type bridge',
    ]);
    t.strictSame(await weft.process.exited, { code: 1, signal: null });
    t.match(weft.process.stderr, /flannel\.1 exists: it is a bridge device/);
    const { stdout } = await exec(['ip', '-4', '-o', 'address', 'show', 'dev', 'flannel.1'], { netns });
    t.equal(stdout, '');
  },
);

t.test('Weft repairs changes that happened while ip monitor was not running', async (t) => {
  const lab = await makeBed(t, { name: 'deaf' });
  const weft = await startWeft(t, lab.node(1));
  const { netns } = weft.node;
  const { pid } = weft.process;
  const monitor = async () => {
    const children = (await readFile(`/proc/${pid}/task/${pid}/children`, 'utf8')).trim().split(' ');
    const command = (child: string) => readFile(`/proc/${child}/cmdline`, 'utf8').catch(() => '');
    for (const child of children) if ((await command(child)).includes('monitor')) return Number(child);
    return undefined;
  };
  await until('ip monitor', async () => (await monitor()) !== undefined);
  const child = (await monitor()) as number;
  await weft.process.freeze();
  process.kill(child, 'SIGKILL');
  await ipBatch(netns, ['link set flannel.1 mtu 1300']);
  weft.process.kill('SIGCONT');
  await weft.process.waitFor(/ip monitor ended \(SIGKILL\); restarting it/);
  await until('a repair', async () => (await repairsOf(weft)).mtu === 1);
  t.equal((await deviceOf(weft.node)).mtu, 1450);
});
