/** Nodes with leases in a real etcd. */

import { readFile } from 'node:fs/promises';
import t, { type Test } from 'tap';
import { exec } from '../../../lab/exec.js';
import type { Lab } from '../../../lab/lab.js';
import { until } from '../../../lab/until.js';
import { Etcd } from '../../support/etcd.js';
import { makeBed } from '../support/bed.js';
import {
  isReady,
  joinUnderlay,
  type Member,
  readiness,
  SERVER_ADDRESS,
  startMember,
} from '../support/cluster.js';
import { answered, startFlood } from '../support/pings.js';
import { neighboursOf, routesOf, statusOf } from '../support/state.js';

const PREFIX = '/coreos.com/network';
const CONFIG = { Network: '10.244.0.0/16', Backend: { Type: 'vxlan' } };

interface Cluster {
  lab: Lab;
  etcd: Etcd;
  /** Starts Weft on a node, by default with the subnet of the lab's pods there. */
  start(t: Test, index: number, ...flags: string[]): Promise<Member>;
}

async function makeCluster(t: Test, name: string, config: object | null = CONFIG): Promise<Cluster> {
  const lab = await makeBed(t, { name, nodes: 3 });
  await joinUnderlay(t, lab);
  const etcd = await Etcd.start(t, { addresses: [SERVER_ADDRESS] });
  if (config !== null) await etcd.put(`${PREFIX}/config`, JSON.stringify(config));
  const endpoint = `--etcd-endpoints=http://${SERVER_ADDRESS}:${etcd.port}`;
  const start = (t: Test, index: number, ...flags: string[]): Promise<Member> =>
    startMember(t, lab.node(index), [endpoint, ...flags], { previous: `10.244.${index}.1/24` });
  return { lab, etcd, start };
}

function values(keys: Awaited<ReturnType<Etcd['list']>>): string[] {
  return keys.map(({ key, value }) => `${key} ${value}`);
}

t.test('three Weft nodes with leases in etcd', async (t) => {
  const { lab, etcd, start } = await makeCluster(t, 'etcd', null);
  const first = await start(t, 1, '--healthz-port=8081');

  await t.test('log that the configuration is missing, wait for it, and are not ready', async (t) => {
    await first.process.waitFor(/Couldn't fetch network config: flannel config not found in etcd store/);
    t.match(await readiness(first), /^503 .*flannel config not found/);
    await etcd.put(`${PREFIX}/config`, JSON.stringify(CONFIG));
    await isReady(first);
    t.equal(await readiness(first), '200 flanneld is ready');
  });

  const [, second, third] = [first, await start(t, 2), await start(t, 3)];
  await Promise.all([second, third].map((member) => isReady(member as Member)));

  await t.test("write flannel's keys and values into etcd, each with a lease of a day", async (t) => {
    const keys = await etcd.list(`${PREFIX}/subnets/`);
    const macs = new Map<string, string>();
    for (const { runDir } of [first, second, third] as Member[]) {
      const { lease } = await statusOf({ runDir });
      macs.set(lease.publicIP, lease.vtepMAC ?? '');
    }
    t.strictSame(
      values(keys),
      [1, 2, 3].map(
        (node) =>
          `${PREFIX}/subnets/10.244.${node}.0-24 {"PublicIP":"192.168.77.${node}","PublicIPv6":null,"BackendType":"vxlan","BackendData":{"VNI":1,"VtepMAC":"${macs.get(`192.168.77.${node}`)}"}}`,
      ),
    );
    for (const { lease } of keys) t.equal((await etcd.timeToLive(lease)).granted, 86_400);
  });

  await t.test("reach each other's pods", async (t) => {
    for (const node of lab.nodes) await until('the routes', async () => (await routesOf(node)).length === 2);
    for (const [from, to] of [
      [1, 2],
      [2, 3],
      [3, 1],
    ] as const) {
      await answered(t, lab.pod(from), lab.pod(to).address);
    }
  });

  await t.test(
    'remove a stopped node whose lease is deleted; it returns with the same subnet and MAC',
    async (t) => {
      const { lease } = await statusOf(third as Member);
      t.strictSame(await third.process.stop(), { code: 0, signal: null });
      await etcd.delete(`${PREFIX}/subnets/10.244.3.0-24`);
      for (const index of [1, 2]) {
        await until('its route disappears', async () => (await routesOf(lab.node(index))).length === 1);
        t.notMatch((await neighboursOf(lab.node(index))).join(), '10.244.3.0');
      }
      const again = await start(t, 3);
      await isReady(again);
      t.strictSame((await statusOf(again)).lease, lease, 'the same subnet and MAC');
      await until('its route comes', async () => (await routesOf(lab.node(1))).length === 2);
      await answered(t, lab.pod(1), lab.pod(3).address);
      await again.process.stop();
    },
  );

  await t.test(
    'forward without etcd, report the outage, and apply missed changes once etcd is back',
    async (t) => {
      const flood = startFlood(t, lab.pod(1), lab.pod(2).address);
      await etcd.kill();
      await until('readyz reports the outage', async () => (await readiness(first)).startsWith('503 '), {
        timeoutMs: 15_000,
      });
      t.match(await readiness(first), /etcd/);
      t.match((await statusOf(first)).leaseSource.trouble, /etcd/);
      await etcd.launch();
      await etcd.delete(`${PREFIX}/subnets/10.244.3.0-24`);
      await until('readyz', async () => (await readiness(first)) === '200 flanneld is ready', {
        timeoutMs: 15_000,
      });
      await until('the route of node 3 disappears', async () => (await routesOf(lab.node(1))).length === 1);
      t.strictSame((await flood.end()).missing, [], 'no ping between the others is lost');
    },
  );

  await t.test('exit with 1 and one line of reason when their own lease is deleted', async (t) => {
    await etcd.delete(`${PREFIX}/subnets/10.244.2.0-24`);
    t.strictSame(await second.process.exited, { code: 1, signal: null }, 'as Restart=on-failure needs it');
    t.equal(second.process.stderr.match(/\] Lease has been revoked\. Shutting down daemon\.\n/g)?.length, 1);
  });

  await t.test('both log a warning if they share one public IP', async (t) => {
    const duplicate = await start(t, 3, '--public-ip=192.168.77.1');
    for (const { process } of [first, duplicate]) {
      await process.waitFor(
        /^W.*\] another node has the public IP 192\.168\.77\.1 too, .* 10\.244\.1\.0\/24: .*--public-ip/m,
      );
    }
  });
});

t.test('a node without a previous subnet takes a free one', async (t) => {
  const { lab, etcd } = await makeCluster(t, 'fresh', {
    ...CONFIG,
    SubnetMin: '10.244.7.0',
    SubnetMax: '10.244.8.0',
  });
  await etcd.put(`${PREFIX}/subnets/10.244.7.0-24`, '{"PublicIP":"192.168.77.50","PublicIPv6":null}');
  const member = await startMember(t, lab.node(1), [
    `--etcd-endpoints=http://${SERVER_ADDRESS}:${etcd.port}`,
  ]);
  await isReady(member);
  t.equal((await statusOf(member)).lease.subnet, '10.244.8.0/24', 'the only free subnet');
  t.match(await readFile(member.subnetFile, 'utf8'), 'FLANNEL_SUBNET=10.244.8.1/24');
});

t.test('backend udp writes a lease value with the public IP alone', async (t) => {
  const { lab, etcd, start } = await makeCluster(t, 'etcdudp', { ...CONFIG, Backend: { Type: 'udp' } });
  const members = [await start(t, 1), await start(t, 2)];
  await Promise.all(members.map((member) => isReady(member)));
  t.strictSame(
    values(await etcd.list(`${PREFIX}/subnets/`)),
    [1, 2].map(
      (node) => `${PREFIX}/subnets/10.244.${node}.0-24 {"PublicIP":"192.168.77.${node}","PublicIPv6":null}`,
    ),
  );
  for (const member of members)
    await until('the peer', async () => (await statusOf(member)).peers.length === 1);
  await answered(t, lab.pod(1), lab.pod(2).address);
});

t.test(
  'two Weft processes on a node run side by side with their own prefix, network and subnet file',
  async (t) => {
    const { lab, etcd } = await makeCluster(t, 'multi');
    const networks = [
      { prefix: '/one', Network: '10.11.0.0/16', Backend: { Type: 'vxlan', VNI: 1 } },
      { prefix: '/two', Network: '10.12.0.0/16', Backend: { Type: 'vxlan', VNI: 2, Port: 8473 } },
    ];
    for (const { prefix, ...config } of networks) await etcd.put(`${prefix}/config`, JSON.stringify(config));
    const subnets: string[] = [];
    for (const { prefix } of networks) {
      for (const node of [lab.node(1), lab.node(2)]) {
        const flags = [`--etcd-endpoints=http://${SERVER_ADDRESS}:${etcd.port}`, `--etcd-prefix=${prefix}`];
        const member = await startMember(t, node, flags, { name: prefix.slice(1) });
        await isReady(member);
        const own = /FLANNEL_SUBNET=(\S+)/.exec(await readFile(member.subnetFile, 'utf8'))?.[1] ?? '';
        await exec(['ip', 'address', 'add', own, 'dev', 'lo'], { netns: node.netns });
        subnets.push(own);
      }
    }
    const [one, other] = [1, 3].map((index) => subnets[index].split('/')[0]);
    await until('both routes', async () => {
      const { stdout } = await exec(['ip', '-4', 'route'], { netns: lab.node(1).netns });
      return /dev flannel\.1 /.test(stdout) && /dev flannel\.2 /.test(stdout);
    });
    await answered(t, lab.node(1), one);
    await answered(t, lab.node(1), other);
  },
);
