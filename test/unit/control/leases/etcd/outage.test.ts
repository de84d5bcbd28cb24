import { once } from 'node:events';
import { copyFileSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import t from 'tap';
import { until } from '../../../../../lab/until.js';
import { catchLog } from '../../../../support/catch-log.js';
import { Etcd, freeTcpPorts } from '../../../../support/etcd.js';
import { makeTls, type TlsFiles } from '../../../../support/tls.js';
import { mentions, refusal } from '../../../../support/user-error.js';
import { CONFIG, EtcdNode, valueOf } from './etcd-node.js';

const IP = '192.168.77.1';
const MAC = '02:00:00:00:00:09';
const PEER = '10.5.200.0/24 192.168.77.9 02:00:00:00:00:09';
const SECOND = '10.5.201.0/24 192.168.77.8 02:00:00:00:00:08';

function count(lines: string[], text: string): number {
  return lines.filter((line) => line.includes(text)).length;
}

t.test(
  'EtcdLeaseSource keeps the leases while etcd is down, reports it, and then delivers the changes',
  async (t) => {
    const log = catchLog(t);
    const etcd = await Etcd.start(t);
    await etcd.put('/n/config', CONFIG);
    await etcd.put('/n/subnets/10.5.200.0-24', valueOf('192.168.77.9', MAC));
    const node = await EtcdNode.join(t, etcd, '/n', IP);
    await until('a watch', async () => {
      await etcd.put('/n/subnets/10.5.201.0-24', valueOf('192.168.77.8', '02:00:00:00:00:08'));
      return node.sets.at(-1)?.length === 2;
    });
    await etcd.kill();
    await until('the outage', () => node.source.notReady !== null);
    mentions(
      t,
      node.source.notReady ?? '',
      'etcd watch channel for /n/subnets/ closed',
      /reconnecting from rev \d+\.\.\.$/,
    );
    t.same(node.sets.at(-1), [PEER, SECOND]);
    await etcd.launch();
    await etcd.delete('/n/subnets/10.5.201.0-24');
    await node.peersAre(PEER);
    t.equal(node.source.notReady, null);
    t.equal(count(log, 'is open again'), 1);
    t.same(node.revoked, []);
  },
);

t.test(
  'EtcdLeaseSource lists all keys again after a compaction, and notices a deleted own key',
  async (t) => {
    const log = catchLog(t);
    const etcd = await Etcd.start(t);
    await etcd.put('/n/config', CONFIG);
    await etcd.put('/n/subnets/10.5.200.0-24', valueOf('192.168.77.9', MAC));
    // The watch of these sources begins below the compaction horizon.
    const [one, two] = [1, 2].map((n) => new EtcdNode(t, etcd.url, '/n', `192.168.77.${n}`));
    await one?.acquire();
    await two?.acquire();
    await etcd.delete('/n/subnets/10.5.200.0-24');
    await etcd.put('/n/subnets/10.5.201.0-24', valueOf('192.168.77.8', '02:00:00:00:00:08'));
    await etcd.delete(`/n/subnets/${one?.name}`);
    await etcd.compact();
    one?.watch();
    two?.watch();
    await until('the revocation', () => one?.revoked.length === 1);
    await two?.peersAre(SECOND);
    t.same(two?.revoked, []);
    t.ok(count(log, 'etcd watch for /n/subnets/ fell behind compaction horizon (compact rev ') >= 1);
    t.ok(count(log, 're-listing and resuming') >= 1);
    await etcd.put('/n/subnets/10.5.200.0-24', valueOf('192.168.77.9', MAC));
    await two?.peersAre(PEER, SECOND);
  },
);

t.test('EtcdLeaseSource reports a revoked lease when etcd has lost its data', async (t) => {
  catchLog(t);
  const etcd = await Etcd.start(t);
  await etcd.put('/n/config', CONFIG);
  const node = await EtcdNode.join(t, etcd, '/n', IP);
  await etcd.loseData();
  await etcd.launch();
  await until('the revocation', () => node.revoked.length > 0, { timeoutMs: 10_000 });
  t.same(node.revoked, ['Lease has been revoked. Shutting down daemon.']);
});

t.test('open waits for etcd and logs its address once', async (t) => {
  const log = catchLog(t);
  const etcd = await Etcd.start(t);
  await etcd.put('/n/config', CONFIG);
  await etcd.kill();
  const node = new EtcdNode(t, etcd.url, '/n', IP);
  const acquired = node.acquire();
  await until('the outage', () => node.source.notReady !== null);
  mentions(
    t,
    node.source.notReady ?? '',
    "Couldn't fetch network config: ",
    `etcd at ${etcd.url} cannot be reached`,
    'ECONNREFUSED',
  );
  await etcd.launch();
  t.match(await acquired, /^10\.5\./);
  t.equal(count(log, "Couldn't fetch network config"), 1);
});

t.test('EtcdClient skips endpoints that are dead or silent', async (t) => {
  catchLog(t);
  const etcd = await Etcd.start(t);
  await etcd.put('/n/config', CONFIG);
  const silent = createServer((socket) => t.teardown(() => socket.destroy())).listen(0, '127.0.0.1');
  await once(silent, 'listening');
  t.teardown(() => silent.close());
  const [dead] = await freeTcpPorts(1);
  const { port } = silent.address() as { port: number };
  const endpoints = [`http://127.0.0.1:${dead}`, `http://127.0.0.1:${port}`, etcd.url];
  const node = new EtcdNode(t, endpoints, '/n', IP, { timing: { answerMs: 500 } });
  await node.acquire();
  node.watch();
  await etcd.put('/n/subnets/10.5.200.0-24', valueOf('192.168.77.9', MAC));
  await node.peersAre(PEER);
});

t.test('EtcdClient reports a wrong password and an unauthorized user, and renews lost tokens', async (t) => {
  const log = catchLog(t);
  const etcd = await Etcd.start(t);
  await etcd.put('/n/config', CONFIG);
  await etcd.enableUsers('weft', 'secret-word', '/n/');
  const wrong = new EtcdNode(t, etcd.url, '/n', IP, { more: { username: 'weft', password: 'wrong-word' } });
  const waiting = wrong.acquire().catch(() => {});
  await until('the outage', () => wrong.source.notReady !== null);
  mentions(t, wrong.source.notReady ?? '', 'refuses user "weft"', 'authentication failed', '--etcd-password');
  const none = new EtcdNode(t, etcd.url, '/n', IP);
  none.acquire().catch(() => {});
  await until('the outage', () => none.source.notReady !== null);
  mentions(t, none.source.notReady ?? '', 'requires a user', 'set --etcd-username');
  const more = { username: 'weft', password: 'secret-word' };
  const elsewhere = new EtcdNode(t, etcd.url, '/other', IP, { more });
  elsewhere.acquire().catch(() => {});
  await until('the outage', () => elsewhere.source.notReady !== null);
  mentions(t, elsewhere.source.notReady ?? '', 'user "weft"', 'permission denied', '/other');
  const node = await EtcdNode.join(t, etcd, '/n', '192.168.77.2', { more });
  // etcd keeps its tokens in memory.
  await etcd.kill();
  await etcd.launch();
  await etcd.login();
  await etcd.put('/n/subnets/10.5.200.0-24', valueOf('192.168.77.9', MAC));
  await node.peersAre(PEER);
  t.equal(count(log, 'secret-word') + count(log, 'wrong-word'), 0);
  await wrong.source.close();
  void waiting;
});

t.test('EtcdClient ignores the user if etcd has no users', async (t) => {
  catchLog(t);
  const etcd = await Etcd.start(t);
  await etcd.put('/n/config', CONFIG);
  const more = { username: 'weft', password: 'secret-word' };
  t.match(await new EtcdNode(t, etcd.url, '/n', IP, { more }).acquire(), /^10\.5\./);
});

t.test(
  'EtcdClient uses TLS with key and certificate, also for an http endpoint, and names a bad file',
  async (t) => {
    const log = catchLog(t);
    const directory = t.testdir({});
    const [good, other] = [makeTls(directory, 'good'), makeTls(directory, 'other')];
    const etcd = await Etcd.start(t, { tls: good });
    await etcd.put('/n/config', CONFIG);
    const more = { keyFile: good.key, certFile: good.cert, caFile: good.ca };
    t.match(await new EtcdNode(t, etcd.tlsUrl, '/n', IP, { more }).acquire(), /^10\.5\./);
    t.match(
      await new EtcdNode(t, etcd.tlsUrl.replace('https', 'http'), '/n', IP, { more }).acquire(),
      /^10\.5\./,
    );
    t.equal(count(log, 'This is insecure'), 0);
    const wrong = new EtcdNode(t, etcd.tlsUrl, '/n', IP, { more: { ...more, caFile: other.ca } });
    wrong.acquire().catch(() => {});
    await until('the outage', () => wrong.source.notReady !== null);
    mentions(
      t,
      wrong.source.notReady ?? '',
      'fails TLS verification',
      'certificate',
      `--etcd-cafile ${other.ca}`,
    );
    const junk = join(directory, 'junk');
    writeFileSync(junk, 'junk');
    for (const [change, says] of [
      [{ caFile: '/dev/zero' }, '--etcd-cafile /dev/zero: this is a device'],
      [{ keyFile: '/none' }, '--etcd-keyfile /none: no such file'],
      [{ certFile: junk }, `--etcd-certfile ${junk}: not a PEM file of this kind`],
      [{ caFile: junk }, `--etcd-cafile ${junk}: not a PEM file of this kind`],
      [{ keyFile: other.key }, 'do not match'],
    ] as const) {
      const node = new EtcdNode(t, etcd.tlsUrl, '/n', IP, { more: { ...more, ...change } });
      mentions(t, await refusal(t, () => node.acquire()), /^Failed to create SubnetManager: /, says);
    }
  },
);

t.test(
  'EtcdClient uses http without key and certificate, ignores --etcd-cafile and logs a warning',
  async (t) => {
    const log = catchLog(t);
    const etcd = await Etcd.start(t);
    await etcd.put('/n/config', CONFIG);
    const more = { certFile: '/none', caFile: '/none' };
    t.match(await new EtcdNode(t, etcd.url, '/n', IP, { more }).acquire(), /^10\.5\./);
    t.equal(count(log, 'no certificate provided: connecting to etcd with http. This is insecure'), 1);
  },
);

/** Copies TLS files to a node. */
function copyTls(from: TlsFiles, to: TlsFiles): void {
  for (const name of ['ca', 'cert', 'key'] as const) copyFileSync(from[name], to[name]);
}

t.test('EtcdClient reads replaced TLS files before the next connection', async (t) => {
  const log = catchLog(t);
  const dir = t.testdir({});
  const server = makeTls(dir, 'server');
  const own = { ca: join(dir, 'ca'), cert: join(dir, 'cert'), key: join(dir, 'key') };
  copyTls(server, own);
  const etcd = await Etcd.start(t, { tls: server });
  await etcd.put('/n/config', CONFIG);
  const more = { keyFile: own.key, certFile: own.cert, caFile: own.ca };
  const node = new EtcdNode(t, etcd.tlsUrl, '/n', IP, { more });
  await node.acquire();
  node.watch();
  await etcd.kill();
  makeTls(dir, 'server');
  await etcd.launch();
  await etcd.put('/n/subnets/10.5.200.0-24', valueOf('192.168.77.9', MAC));
  await until('the hint', () => node.source.notReady?.includes('fails TLS verification'));
  mentions(t, node.source.notReady ?? '', `not signed by a CA in --etcd-cafile ${own.ca}; put`);
  // Half of a file leaves the old one in use.
  writeFileSync(own.ca, readFileSync(server.ca, 'utf8').slice(0, 200));
  await until(
    'a warning',
    () => count(log, `${own.ca}: not a PEM file of this kind: a certificate in it is cut off`) > 0,
  );
  copyTls(server, own);
  await node.peersAre(PEER);
  t.equal(node.source.notReady, null);
  t.same(node.revoked, []);
});

t.test('EtcdClient explains that etcd refuses the client certificate', async (t) => {
  const log = catchLog(t);
  const dir = t.testdir({});
  const [server, other] = [makeTls(dir, 'server'), makeTls(dir, 'other')];
  const etcd = await Etcd.start(t, { tls: server });
  await etcd.put('/n/config', CONFIG);
  for (const [more, says] of [
    [{ keyFile: other.key, certFile: other.cert }, `--etcd-certfile ${other.cert}`],
    [{}, 'set --etcd-certfile and --etcd-keyfile'],
  ] as const) {
    const node = new EtcdNode(t, etcd.tlsUrl, '/n', IP, { more: { ...more, caFile: server.ca } });
    node.acquire().catch(() => {});
    const reason = await until('the outage', () => node.source.notReady ?? undefined);
    mentions(t, reason, 'client certificate', says);
  }
  t.equal(count(log, 'DEP0123'), 0);
});

t.test('EtcdClient survives a server that resets every connection', async (t) => {
  catchLog(t);
  const { ca } = makeTls(t.testdir({}), 'server');
  let connections = 0;
  const server = createServer((socket) => {
    connections++;
    socket.resetAndDestroy();
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.teardown(() => server.close());
  const { port } = server.address() as { port: number };
  const node = new EtcdNode(t, `https://127.0.0.1:${port}`, '/n', IP, { more: { caFile: ca } });
  node.acquire().catch(() => {});
  await until('three connections', () => connections >= 3);
  mentions(t, node.source.notReady ?? '', 'cannot be reached', 'check that etcd runs');
});
