import { renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { until } from '../../../../../lab/until.js';
import { valueIn } from '../../../../../src/control/addresses/family.js';
import { formatIp } from '../../../../../src/control/addresses/ip.js';
import type { NetConf } from '../../../../../src/control/config/net-conf.js';
import {
  FileLeaseSource,
  type FileWatch,
  POLLING,
} from '../../../../../src/control/leases/file/file-source.js';
import type { LeaseSets } from '../../../../../src/control/leases/lease.js';
import type { LeaseRequest } from '../../../../../src/control/leases/source.js';
import { deferred } from '../../../../../src/control/support/deferred.js';
import { cidr, ip } from '../../../../support/addresses.js';
import { catchLog } from '../../../../support/catch-log.js';
import { mentions, refusal } from '../../../../support/user-error.js';

const NET_CONF: NetConf = {
  origin: 'net-conf.json',
  networks: { ipv4: { network: cidr('10.244.0.0/16'), subnets: undefined } },
  nftables: false,
  backend: {
    ...{ type: 'vxlan', vni: 1, port: 8472, outerMtu: undefined },
    ...{ learning: false, directRouting: false, gbp: false },
  },
  ignored: [],
};

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

/** A watch that reports a change when the test requests it; `settle` runs while a reader waits. */
class ManualWatch implements FileWatch {
  changed = (): void => {};
  stopped = false;
  settle = async (): Promise<void> => {};

  start(_: string, onChange: () => void): () => void {
    this.changed = onChange;
    return () => {
      this.stopped = true;
    };
  }
}

/** A source of node 1 with a lease file; `addresses` are the last parts of those of its interface. */
function fileSource(
  t: Test,
  path: string,
  { watch = new ManualWatch() as FileWatch, addresses = [1] } = {},
): { source: FileLeaseSource; request: LeaseRequest } {
  const source = new FileLeaseSource({ type: 'file', leaseFile: path, netConfigPath: '' }, watch);
  t.teardown(() => source.close());
  return { source, request: requestAt(addresses) };
}

/** Returns the request of a node with these addresses, by their last parts. */
function requestAt(addresses: readonly number[]): LeaseRequest {
  const own = addresses.map((node) => ip(`192.168.77.${node}`));
  const families = {
    ipv4: { addresses: own, publicIp: own[0] ?? 0, previous: undefined, vtepMac: undefined },
  };
  return { netConf: NET_CONF, interface: 'eth0', families };
}

interface Watched {
  path: string;
  /** The request of a node with these addresses. */
  requestAt(...addresses: number[]): LeaseRequest;
  watch: ManualWatch;
  source: FileLeaseSource;
  /** The sets and refusals that the listener got, in order. */
  events: (number[] | string)[];
  /** Announces a change, and returns the event that follows. */
  change(): Promise<number[] | string>;
}

/** A watched source after its first set. */
async function watched(t: Test, onLeases = async (_: LeaseSets): Promise<void> => {}): Promise<Watched> {
  const path = join(t.testdir({ 'leases.json': text(1, 2) }), 'leases.json');
  const watch = new ManualWatch();
  const { source, request } = fileSource(t, path, { watch });
  t.same(nodes(await source.acquire(request)), [1, 2]);
  const events: Watched['events'] = [];
  source.watch({
    onLeases: async (set) => {
      await onLeases(set);
      events.push(nodes(set));
    },
    onRefused: (error) => events.push(error.message),
  });
  const next = (count: number): Promise<number[] | string> => until('an event', () => events[count]);
  await next(0);
  return {
    ...{ path, watch, source, events },
    requestAt: (...addresses) => requestAt(addresses),
    change: async () => {
      const count = events.length;
      watch.changed();
      return await next(count);
    },
  };
}

t.test(
  'watch delivers the first set again, because an edit may come between acquire and watch',
  async (t) => {
    const { events } = await watched(t);
    t.same(events, [[1, 2]]);
  },
);

t.test('watch delivers the set after a change', async (t) => {
  const { path, change } = await watched(t);
  writeFileSync(path, text(1, 2, 3));
  t.same(await change(), [1, 2, 3]);
});

t.test('watch refuses an invalid edit with its reason, and accepts the next valid one', async (t) => {
  const { path, change } = await watched(t);
  writeFileSync(path, '{ "leases": [ { "Subnet": "10.244.1.7/24" } ] }');
  mentions(
    t,
    String(await change()),
    `${path}:1 (--lease-file): leases[0].Subnet is "10.244.1.7/24": host bits`,
  );
  writeFileSync(path, text(1, 3));
  t.same(await change(), [1, 3]);
});

t.test('watch reads the file once for all changes during a delivery', async (t) => {
  const applied = deferred();
  let sets = 0;
  const { watch, events } = await watched(t, async () => {
    if (++sets === 2) await applied.promise;
  });
  watch.changed();
  await until('a set', () => sets === 2);
  for (let count = 0; count < 100; count++) watch.changed();
  applied.resolve();
  await until('the last set', () => events.length >= 3);
  await new Promise((resolve) => setImmediate(resolve));
  t.equal(events.length, 3);
});

t.test('watch reads a file that could not be read again, and refuses it once', async (t) => {
  const { path, change, events } = await watched(t);
  rmSync(path);
  await change();
  const count = events.length;
  writeFileSync(path, text(1, 6));
  t.same(await until('the retry', () => events[count]), [1, 6]);
});

t.test('watch refuses a file that is gone, and reads it again when it is back', async (t) => {
  const { path, change } = await watched(t);
  rmSync(path);
  mentions(t, String(await change()), `--lease-file ${path}: no such file`);
  writeFileSync(path, text(1, 5));
  t.same(await change(), [1, 5]);
});

t.test('watch refuses a set without this node', async (t) => {
  const { path, change } = await watched(t);
  writeFileSync(path, text(2, 3));
  mentions(t, String(await change()), `${path}: no lease for this node`, 'eth0', '192.168.77.1');
});

t.test('watch reads a half-written file again before it refuses it', async (t) => {
  const { path, watch, change } = await watched(t);
  const whole = text(1, 2, 3);
  writeFileSync(path, whole.slice(0, 40));
  watch.settle = async () => writeFileSync(path, whole);
  t.same(await change(), [1, 2, 3]);
});

t.test('watch refuses a set that the listener rejects', async (t) => {
  const { path, change } = await watched(t, async (set) => {
    if (nodes(set).includes(9)) throw new Error('the device is gone');
  });
  writeFileSync(path, text(1, 9));
  t.equal(await change(), 'the device is gone');
});

t.test('watch delivers a set only after the listener has applied the one before', async (t) => {
  const applied = deferred();
  let running = 0;
  const begun: number[] = [];
  const { path, watch, events } = await watched(t, async (set) => {
    if (nodes(set).length === 2) return;
    begun.push(nodes(set).length);
    t.equal(++running, 1, 'one set at a time');
    await applied.promise;
    running--;
  });
  writeFileSync(path, text(1));
  watch.changed();
  await until('the listener is at work', () => begun.length === 1);
  writeFileSync(path, text(1, 2, 3));
  watch.changed();
  applied.resolve();
  await until('both sets', () => events.length === 3);
  t.same(events.slice(1), [[1], [1, 2, 3]]);
});

t.test('close ends the watch', async (t) => {
  const { source, watch } = await watched(t);
  t.equal(watch.stopped, false);
  await source.close();
  t.equal(watch.stopped, true);
});

t.test('acquire fixes the own address, even when an earlier address gets a lease later', async (t) => {
  const path = join(t.testdir({ f: text(2, 3) }), 'f');
  const { source, request } = fileSource(t, path, { addresses: [1, 2] });
  t.same(nodes(await source.acquire(request)), [2, 3]);
  writeFileSync(path, text(1, 2, 3));
  const later = await new Promise<LeaseSets>((resolve, reject) =>
    source.watch({ onLeases: async (set) => resolve(set), onRefused: reject }),
  );
  t.same(nodes(later), [2, 1, 3]);
});

t.test('move delivers the lease with the new address as the own one', async (t) => {
  const { path, source, events, requestAt, change } = await watched(t);
  await source.move(requestAt(2));
  await until('the set', () => events.length === 2);
  t.same(events[1], [2, 1]);
  writeFileSync(path, text(1, 2, 3));
  t.same(await change(), [2, 1, 3]);
  await source.move(requestAt(2));
  await source.move(requestAt(9, 3));
  await until('the set of the last move', () => String(events.at(-1)) === '3,1,2');
});

t.test(
  'move to an address without a lease is refused, and followed once the file has the lease',
  async (t) => {
    const { path, source, events, requestAt, change } = await watched(t);
    const message = await refusal(t, () => source.move(requestAt(5)));
    mentions(t, message, `${path}: no lease for this node`, '192.168.77.5');
    await refusal(t, () => source.move(requestAt(6)));
    t.equal(events.length, 1, 'nothing is delivered');
    writeFileSync(path, text(1, 2, 5));
    t.same(await change(), [1, 2, 5], 'the newest move counts');
    writeFileSync(path, text(2, 5));
    mentions(t, String(await change()), 'no lease for this node', '192.168.77.1');
    writeFileSync(path, text(2, 6));
    t.same(await change(), [6, 2]);
    writeFileSync(path, text(1, 2));
    mentions(t, String(await change()), 'no lease for this node', '192.168.77.6');
  },
);

t.test('move back to the address in force forgets a pending move', async (t) => {
  const { path, source, requestAt, events, change } = await watched(t);
  await refusal(t, () => source.move(requestAt(5)));
  await source.move(requestAt(1));
  await until('the set', () => events.length === 2);
  writeFileSync(path, text(1, 5));
  t.same(await change(), [1, 5]);
});

t.test('move before watch counts for watch', async (t) => {
  const { source, request } = fileSource(t, join(t.testdir({ f: text(1, 2) }), 'f'));
  await source.acquire(request);
  await source.move(requestAt([2]));
  const set = await new Promise<LeaseSets>((resolve, reject) =>
    source.watch({ onLeases: async (sets) => resolve(sets), onRefused: reject }),
  );
  t.same(nodes(set), [2, 1]);
});

t.test('move does not wait for the listener', async (t) => {
  const applied = deferred();
  const { source, requestAt } = await watched(t, async (set) => {
    if (nodes(set)[0] === 2) await applied.promise;
  });
  await source.move(requestAt(2));
  applied.resolve();
  t.pass();
});

t.test('acquire refuses an invalid file', async (t) => {
  const path = join(t.testdir({ f: '{' }), 'f');
  const { source, request } = fileSource(t, path);
  mentions(t, await refusal(t, () => source.acquire(request)), `${path}:1:2 (--lease-file): not JSON`);
});

t.test('preview returns the own lease and the peers', async (t) => {
  const { source, request } = fileSource(t, join(t.testdir({ f: text(1, 2) }), 'f'), { addresses: [2] });
  t.match((await source.preview(request)).ipv4, {
    own: { publicIp: ip('192.168.77.2') },
    peers: [{ publicIp: ip('192.168.77.1') }],
  });
});

t.test('watch logs a lease of another backend once, and acquire does not log it', async (t) => {
  const log = catchLog(t);
  const other = (end: string): string =>
    `{ "leases": [ { "Subnet": "10.244.1.0/24", "PublicIP": "192.168.77.1" },
      { "Subnet": "10.244.8.0/24", "PublicIP": "192.168.77.8", "BackendType": "udp" } ] }${end}`;
  const path = join(t.testdir({ f: other('') }), 'f');
  const watch = new ManualWatch();
  const { source, request } = fileSource(t, path, { watch });
  await source.acquire(request);
  t.same(log, [], 'a start that is refused logs its error only');
  let sets = 0;
  source.watch({
    onLeases: async () => {
      sets++;
    },
    onRefused: (error) => t.fail(error.message),
  });
  await until('the first set', () => sets === 1);
  writeFileSync(path, other('\n'));
  watch.changed();
  await until('two sets', () => sets === 2);
  t.equal(log.length, 1);
  mentions(t, String(log[0]), 'ignoring non-vxlan v4Subnet(10.244.8.0/24): type=udp');
});

t.test('POLLING reports an edit in place, a rename over the file, its removal and its return', async (t) => {
  const path = join(t.testdir({ f: 'a' }), 'f');
  let changes = 0;
  t.teardown(POLLING.start(path, () => changes++));
  const change = async (what: string, edit: () => void): Promise<void> => {
    const before = changes;
    edit();
    await until(what, () => changes > before);
  };
  // The first poll may see the first edit as the initial state, so edits repeat until one is reported.
  let length = 1;
  await until('the first poll', () => {
    writeFileSync(path, 'a'.repeat(++length));
    return changes > 0;
  });
  await change('an edit in place', () => writeFileSync(path, 'an edit'));
  await change('a rename', () => {
    writeFileSync(`${path}.new`, 'another file');
    renameSync(`${path}.new`, path);
  });
  await change('a removal', () => rmSync(path));
  await change('a return', () => writeFileSync(path, 'back'));
});
