/** Each finding of `weft doctor` beside a running Weft: provoked, reported, and cured by its command where one can do it. */

import { mkdir, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import t from 'tap';
import { exec } from '../../../lab/exec.js';
import { writeAtomically, writeLeases } from '../../../lab/leases.js';
import { until } from '../../../lab/until.js';
import { makeBed, startWeft } from '../support/bed.js';
import { makePlace, runFlags, startCommand } from '../support/cli.js';
import { cures, findingsOf, finds, mounted, preloaded } from '../support/doctor.js';
import { statusOf } from '../support/state.js';

const lab = await makeBed(t, { name: 'running', podsPerNode: 0 });
const [node, other] = [lab.node(1), lab.node(2)];

t.test('beside a running Weft:', async (t) => {
  const late = `${node.dir}/a-minute-later`;
  const weft = await startWeft(t, node, {
    // The clock of the obstacle checks; the threads keep theirs.
    env: preloaded(`import { existsSync } from 'node:fs';
      import { isMainThread } from 'node:worker_threads';
      const now = performance.now.bind(performance);
      if (isMainThread) performance.now = () => now() + (existsSync('${late}') ? 61_000 : 0);`),
  });
  const here = ['--run-dir', weft.runDir];

  await t.test('nothing on a healthy node', async (t) => t.strictSame(await findingsOf(t, node, here), []));

  await t.test('capabilities, for a user who may not ask it', async (t) => {
    const user = ['setpriv', '--reuid=65534', '--regid=65534', '--clear-groups', '--inh-caps=-all'];
    const found = await findingsOf(t, node, [...here, '--peers'], { under: user });
    t.match(
      found.filter(({ id }) => id !== 'tun'),
      [
        { id: 'capabilities', what: /lacks CAP_NET_ADMIN/ },
        { id: 'capabilities', what: /user 65534 may not ask the Weft of/, fix: 'sudo weft doctor' },
      ],
    );
    t.equal(found.filter(({ id }) => id !== 'tun').length, 2, JSON.stringify(found));
  });

  await t.test('firewall-output, and the same remedy for each peer', async (t) => {
    await node.exec(['iptables', '-A', 'OUTPUT', '-p', 'udp', '--dport', '8472', '-j', 'DROP']);
    const fix = 'iptables -I OUTPUT -o ua -p udp --dport 8472 -j ACCEPT';
    await cures(t, node, here, {
      id: 'firewall-output',
      what: /chain OUTPUT drops the datagrams to UDP port 8472 of peers/,
      fix,
    });
    await node.exec(['iptables', '-F', 'OUTPUT']);
  });

  await t.test('mtu-subnet-env', async (t) => {
    const directory = `${node.dir}/plugin`;
    await mkdir(directory, { recursive: true });
    await writeFile(`${directory}/subnet.env`, 'FLANNEL_SUBNET=10.244.1.1/24\nFLANNEL_MTU=1500\n');
    const found = await findingsOf(
      t,
      node,
      here,
      mounted('mkdir -p /run/flannel', `mount --bind ${directory} /run/flannel`),
    );
    t.match(
      found.find(({ id }) => id === 'mtu-subnet-env'),
      { what: /\/run\/flannel\/subnet\.env says MTU 1500, and the overlay carries 1450/, fix: /^cp / },
    );
    const unreadable = mounted(
      'mkdir -p /run/flannel',
      'mount -t tmpfs t /run/flannel',
      'mkdir /run/flannel/subnet.env',
    );
    const what = /\/run\/flannel\/subnet\.env cannot be read: this is a directory$/;
    await finds(t, node, here, { id: 'mtu-subnet-env', what, fix: /^rm -rf .* && cp / }, unreadable);
  });

  await t.test('silent-peer', async (t) => {
    // Nothing answers there.
    await exec(['ping', '-c', '1', '-W', '1', other.subnetBase], { netns: node.netns }).catch(() => {});
    t.strictSame(await findingsOf(t, node, here), [], 'the first packet is no silence');
    await writeFile(late, '');
    const what = new RegExp(`has sent to peer ${other.address} .* for a minute and received nothing`);
    await finds(t, node, here, { id: 'silent-peer', what, fix: 'weft doctor --peers' });
    await rm(late);
  });

  await t.test('leases-refused', async (t) => {
    await writeAtomically(weft.leaseFile, '{ "leases": [ { "Subnet": "10.244.1.0/24" } ] }\n');
    await weft.process.waitFor(/leases rejected/);
    await finds(t, node, here, { id: 'leases-refused', severity: 'error', what: /PublicIP/, fix: /./ });
    await writeLeases(weft.leaseFile, lab.leases());
    await until('the leases are accepted', async () => (await findingsOf(t, node, here)).length === 0);
  });

  await t.test('not-answering', async (t) => {
    weft.process.kill('SIGSTOP');
    const fix = `kill -CONT ${weft.process.pid}`;
    await cures(t, node, [...here], {
      id: 'not-answering',
      severity: 'error',
      what: /is stopped by a signal/,
      fix,
    });
  });
});

t.test('a Weft that waits: not-ready', async (t) => {
  const waiting = await makePlace(other, { name: 'waiting' });
  const weft = startCommand(t, other, runFlags(waiting, 'none0'));
  await until('it waits', async () => /none0/.test(weft.stderr));
  const what = /^Weft is not ready: waiting for the underlay: --iface none0/;
  const flags = ['--run-dir', waiting.runDir];
  await finds(t, other, flags, { id: 'not-ready', severity: 'error', what, fix: 'journalctl -u weft -n 50' });
  await weft.stop();
});

t.test('kubelet starts after Weft, with the other iptables:', async (t) => {
  const kubelet = () => other.exec(['iptables-legacy', '-t', 'mangle', '-N', 'KUBE-IPTABLES-HINT']);
  await t.test('iptables-forbidden, because Weft has dropped what it did not need', async (t) => {
    const weft = await startWeft(t, other);
    await until('it drops capabilities', async () => (await statusOf(weft)).privileges?.noNewPrivileges);
    await kubelet();
    const what = /cannot read the rules of iptables-legacy .* lacks CAP_NET_RAW/;
    await finds(t, other, ['--run-dir', weft.runDir], {
      id: 'iptables-forbidden',
      what,
      fix: /^Restart Weft/,
    });
    await weft.end();
  });

  await t.test('iptables-back-end, because Weft has kept it', async (t) => {
    await other.exec(['iptables-legacy', '-t', 'mangle', '-X', 'KUBE-IPTABLES-HINT']);
    const weft = await startWeft(t, other);
    await kubelet();
    const what = /kubelet's chains are in legacy, but Weft's rules are in nf_tables/;
    const fix = 'systemctl restart weft';
    await finds(t, other, ['--run-dir', weft.runDir], { id: 'iptables-back-end', what, fix });
    await weft.end();
  });

  await t.test('nothing after a restart', async (t) => {
    const weft = await startWeft(t, other);
    t.strictSame(await findingsOf(t, other, ['--run-dir', weft.runDir]), []);
    await weft.cleanUp();
  });
});

t.test(
  'a Weft of another version: its unknown obstacle is shown, and so is a request that it refuses',
  async (t) => {
    const runDir = `${other.dir}/newer`;
    await mkdir(runDir);
    const obstacle = { key: 'flux', message: 'the flux is low; raise it' };
    let answer: object = { facts: null, notReady: null };
    const server = createServer({ allowHalfOpen: true }, (socket) => {
      let text = '';
      // The doctor looks at first only whether something listens.
      socket.on('error', () => {});
      socket.on('data', (part) => (text += part));
      socket.on('end', () => {
        const isStatus = text.includes('"status"');
        socket.end(JSON.stringify(isStatus ? { ok: true, result: { pid: process.pid } } : answer));
      });
    });
    await new Promise<void>((resolve) => server.listen(`${runDir}/weft.sock`, resolve));
    t.teardown(() => server.close());
    const facts = {
      ...{
        backend: 'vxlan',
        vni: 1,
        subnetFile: `${runDir}/subnet.env`,
        podMtu: 1450,
        tls: false,
        families: [],
      },
      level: { name: 'gso', reason: 'it says so' },
    };
    answer = { ok: true, result: { facts, notReady: null, refusedLeases: null, obstacles: [obstacle] } };
    const flags = ['--run-dir', runDir];
    await finds(t, other, flags, { id: 'obstacle', what: /^the flux is low$/, fix: 'Raise it.' });
    answer = { ok: false, error: 'unknown request' };
    const expected = { id: 'not-answering', severity: 'error', what: /unknown request/ } as const;
    await finds(t, other, flags, { ...expected, fix: `weft status --run-dir ${runDir}` });
  },
);
