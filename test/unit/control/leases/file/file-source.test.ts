import { renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { valueIn } from '../../../../../src/control/addresses/family.js';
import { formatIp, type Ip } from '../../../../../src/control/addresses/ip.js';
import type { NetConf } from '../../../../../src/control/config/net-conf.js';
import { FileLeaseSource } from '../../../../../src/control/leases/file/file-source.js';
import type { LeaseSets } from '../../../../../src/control/leases/lease.js';
import type { LeaseRequest } from '../../../../../src/control/leases/source.js';
import { cidr, ip } from '../../../../support/addresses.js';
import { catchLog } from '../../../../support/catch-log.js';
import { mentions, refusal } from '../../../../support/user-error.js';

const TIMEOUT_MS = 5000;
/** How soon an edit has to be applied. */
const APPLIED_MS = 1000;

function text(...nodes: number[]): string {
  return JSON.stringify({
    leases: nodes.map((node) => ({ Subnet: `10.244.${node}.0/24`, PublicIP: `192.168.77.${node}` })),
  });
}

/** The last parts of the public IPs, this node's first. */
function nodes(sets: LeaseSets): number[] {
  const { own, peers } = valueIn(sets, 'ipv4');
  return [own, ...peers].map(({ publicIp }) => Number(formatIp(publicIp).split('.')[3]));
}

interface Watched {
  path: string;
  /** What was handed out and what was refused, in order. */
  events: (number[] | string)[];
  /** Waits until `count` events have come. */
  until(count: number): Promise<void>;
}

/** Node 1 with a lease file; `addresses` are the last parts of those of its interface. */
function fileSource(
  t: Test,
  path: string,
  ...addresses: number[]
): { source: FileLeaseSource; request: LeaseRequest } {
  const source = new FileLeaseSource({ type: 'file', leaseFile: path, netConfigPath: '' });
  t.teardown(() => source.close());
  const own = (addresses.length === 0 ? [1] : addresses).map((node) => ip(`192.168.77.${node}`));
  const netConf = {
    networks: { ipv4: { network: cidr('10.244.0.0/16') } },
    backend: { type: 'vxlan', vni: 1 },
  } as unknown as NetConf;
  const request = {
    netConf,
    interface: 'eth0',
    families: {
      ipv4: { addresses: own, publicIp: own[0] as Ip, previous: undefined, vtepMac: undefined },
    },
  };
  return { source, request };
}

async function watch(t: Test, onLeases = async (_: LeaseSets): Promise<void> => {}): Promise<Watched> {
  const path = join(t.testdir({ 'leases.json': text(1, 2) }), 'leases.json');
  const { source, request } = fileSource(t, path);
  t.same(nodes(await source.acquire(request)), [1, 2]);
  const events: Watched['events'] = [];
  source.watch({
    onLeases: async (set) => {
      await onLeases(set);
      events.push(nodes(set));
    },
    onRefused: (error) => events.push(error.message),
  });
  const until = async (count: number): Promise<void> => {
    const deadline = Date.now() + TIMEOUT_MS;
    while (events.length < count && Date.now() < deadline)
      await new Promise((resolve) => setTimeout(resolve, 5));
    t.equal(events.length, count, `${count} events within ${TIMEOUT_MS} ms`);
  };
  await until(1);
  return { path, events, until };
}

t.test('the set at the beginning is handed out once more, for an edit between load and watch', async (t) => {
  const { events } = await watch(t);
  t.same(events, [[1, 2]]);
});

t.test('an edit in place is applied within a second', async (t) => {
  const { path, events, until } = await watch(t);
  const from = performance.now();
  writeFileSync(path, text(1, 2, 3));
  await until(2);
  t.ok(performance.now() - from < APPLIED_MS);
  t.same(events[1], [1, 2, 3]);
});

t.test('a file renamed over it is applied within a second', async (t) => {
  const { path, events, until } = await watch(t);
  writeFileSync(`${path}.new`, text(1));
  const from = performance.now();
  renameSync(`${path}.new`, path);
  await until(2);
  t.ok(performance.now() - from < APPLIED_MS);
  t.same(events[1], [1]);
});

t.test('an edit that is no good is refused with the reason, and the next good one is taken', async (t) => {
  const { path, events, until } = await watch(t);
  writeFileSync(path, '{ "leases": [ { "Subnet": "10.244.1.7/24" } ] }');
  await until(2);
  mentions(
    t,
    events[1] as string,
    `${path}:1 (--lease-file): leases[0].Subnet is "10.244.1.7/24": host bits`,
  );
  writeFileSync(path, text(1, 3));
  await until(3);
  t.same(events[2], [1, 3]);
});

t.test('a file that goes is refused, and taken up again when it is back', async (t) => {
  const { path, events, until } = await watch(t);
  rmSync(path);
  await until(2);
  mentions(t, events[1] as string, `--lease-file ${path}: no such file`);
  writeFileSync(path, text(1, 5));
  await until(3);
  t.same(events[2], [1, 5]);
});

t.test('a set without this node is refused', async (t) => {
  const { path, events, until } = await watch(t);
  writeFileSync(path, text(2, 3));
  await until(2);
  mentions(t, events[1] as string, `${path}: no lease for this node`, 'eth0', '192.168.77.1');
});

t.test(
  'the address that had the lease at the start stays the own one, whichever else gets one',
  async (t) => {
    const path = join(t.testdir({ f: text(2, 3) }), 'f');
    const { source, request } = fileSource(t, path, 1, 2);
    t.same(nodes(await source.acquire(request)), [2, 3]);
    writeFileSync(path, text(1, 2, 3));
    const later = await new Promise<LeaseSets>((resolve, reject) =>
      source.watch({ onLeases: async (set) => resolve(set), onRefused: reject }),
    );
    t.same(nodes(later), [2, 1, 3]);
  },
);

t.test('a file that is half written is given a tenth of a second', async (t) => {
  const { path, events, until } = await watch(t);
  const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
  writeFileSync(path, text(1));
  await until(2);
  // The file was looked at just now, and will be in 200 ms: then it is half written.
  const whole = text(1, 2, 3);
  await sleep(150);
  writeFileSync(path, whole.slice(0, 40));
  await sleep(90);
  writeFileSync(path, whole);
  await until(3);
  t.same(events[2], [1, 2, 3]);
});

t.test('what cannot be applied counts as refused', async (t) => {
  const { path, events, until } = await watch(t, async (set) => {
    if (nodes(set).includes(9)) throw new Error('the device is gone');
  });
  writeFileSync(path, text(1, 9));
  await until(2);
  t.equal(events[1], 'the device is gone');
});

t.test('sets are handed out one after the other', async (t) => {
  let running = 0;
  let most = 0;
  const { path, until } = await watch(t, async () => {
    most = Math.max(most, ++running);
    await new Promise((resolve) => setTimeout(resolve, 300));
    running--;
  });
  writeFileSync(path, text(1));
  await new Promise((resolve) => setTimeout(resolve, 250));
  writeFileSync(path, text(1, 2, 3));
  await until(2);
  await until(3);
  t.equal(most, 1);
});

t.test('a file that is no good at the start is refused', async (t) => {
  const path = join(t.testdir({ f: '{' }), 'f');
  const { source, request } = fileSource(t, path);
  mentions(t, await refusal(t, () => source.acquire(request)), `${path}:1:2 (--lease-file): not JSON`);
});

t.test('a dry run tells the own lease', async (t) => {
  const { source, request } = fileSource(t, join(t.testdir({ f: text(1, 2) }), 'f'), 2);
  t.equal(formatIp((await source.preview(request)).ipv4?.publicIp as number), '192.168.77.2');
});

t.test('a lease of another backend is spoken of once, when its set is in force', async (t) => {
  const log = catchLog(t);
  const other = (end: string): string =>
    `{ "leases": [ { "Subnet": "10.244.1.0/24", "PublicIP": "192.168.77.1" },
      { "Subnet": "10.244.8.0/24", "PublicIP": "192.168.77.8", "BackendType": "udp" } ] }${end}`;
  const path = join(t.testdir({ f: other('') }), 'f');
  const { source, request } = fileSource(t, path);
  await source.acquire(request);
  t.same(log, [], 'a start that is refused says one thing only');
  let sets = 0;
  source.watch({
    onLeases: async () => {
      sets++;
    },
    onRefused: (error) => t.fail(error.message),
  });
  while (sets < 1) await new Promise((resolve) => setTimeout(resolve, 5));
  writeFileSync(path, other('\n'));
  const deadline = Date.now() + TIMEOUT_MS;
  while (sets < 2 && Date.now() < deadline) await new Promise((resolve) => setTimeout(resolve, 5));
  t.equal(sets, 2);
  t.equal(log.length, 1);
  mentions(t, log[0] as string, 'ignoring non-vxlan v4Subnet(10.244.8.0/24): type=udp');
});

t.test('after close no edit is looked at', async (t) => {
  const path = join(t.testdir({ f: text(1) }), 'f');
  const { source, request } = fileSource(t, path);
  await source.acquire(request);
  const seen: number[][] = [];
  source.watch({ onLeases: async (set) => void seen.push(nodes(set)), onRefused: () => {} });
  await new Promise((resolve) => setTimeout(resolve, 100));
  await source.close();
  writeFileSync(path, text(1, 2));
  await new Promise((resolve) => setTimeout(resolve, 500));
  t.same(seen, [[1]]);
});
